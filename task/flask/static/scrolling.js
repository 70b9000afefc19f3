// What scrolls: a log that grows is followed to its end, unless its reader has scrolled up; a timeline begins at now.
"use strict";

(() => {
  const NEAR = 24; // So close to the end counts as there. Pixels.
  const log = () => document.querySelector("[data-follow]");
  let following = true;

  function follow() {
    const found = log();
    if (found && following) found.scrollTop = found.scrollHeight;
  }

  document.addEventListener("scroll", (event) => {
    const found = log();
    if (event.target === found) following = found.scrollHeight - found.scrollTop - found.clientHeight < NEAR;
  }, true);

  const timeline = document.querySelector(".timeline");
  if (timeline) timeline.scrollLeft = (timeline.scrollWidth - timeline.clientWidth) / 2;

  new MutationObserver(follow).observe(document.getElementById("main"), { childList: true, subtree: true });
  follow();
})();
