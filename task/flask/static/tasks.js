// What needs a script: live updates, and clocks that count. The pages work without it.
"use strict";

(() => {
  const body = document.body;
  const POLL = 5000; // Without a stream of events: how often the page is looked at again. Milliseconds.
  const AGAIN = 30000; // How long until a stream that was refused is asked for again.

  // Time, as the server has it: what counts down does not depend on this machine's clock.
  const offset = () => Date.parse(body.dataset.now) - started;
  const started = Date.now();
  const now = () => Date.now() + offset();

  function told(seconds) {
    const s = Math.abs(Math.round(seconds));
    const parts = s < 60 ? [`${s} s`]
      : s < 3600 ? [`${Math.floor(s / 60)} min`, s < 600 ? `${s % 60} s` : ""]
      : s < 86400 ? [`${Math.floor(s / 3600)} h`, `${Math.floor((s % 3600) / 60)} min`]
      : [`${Math.floor(s / 86400)} d`, `${Math.floor((s % 86400) / 3600)} h`];
    const text = parts.filter(Boolean).join(" ");
    return seconds >= 0 ? `in ${text}` : `${text} ago`;
  }

  function count() {
    for (const time of document.querySelectorAll("time[data-countdown]")) {
      const seconds = (Date.parse(time.dateTime) - now()) / 1000;
      time.textContent = seconds > -1.5 && seconds < 0.5 ? "now" : told(seconds);
    }
  }
  setInterval(count, 1000);
  count();

  // Live: a stream of events says that something changed; htmx then gets the live parts of the page anew.
  let polling = 0;

  function show(kind, text) {
    for (const dot of document.querySelectorAll(".live-dot")) dot.className = `live-dot ${kind}`;
    for (const line of document.querySelectorAll(".live-text")) if (line.textContent !== text) line.textContent = text;
  }

  let waiting = 0;
  function changed(event) {
    if (document.hidden || waiting) return;
    waiting = setTimeout(() => {
      waiting = 0;
      body.dispatchEvent(new CustomEvent("tasks-changed", { detail: event }));
    }, 150 + 400 * Math.random());  // many browsers hear of it at once: they do not all ask at once
  }

  function poll() {
    show("polling", "every 5 s");
    if (!polling) polling = setInterval(changed, POLL);
    setTimeout(listen, AGAIN);
  }

  let source = null;
  function listen() {
    if (source) source.close();
    source = new EventSource(body.dataset.events);
    source.onopen = () => {
      clearInterval(polling);
      polling = 0;
      show("live", "live");
    };
    for (const kind of ["run", "journal", "reset"]) source.addEventListener(kind, changed);
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) poll();
      else show("polling", "connecting");
    };
  }

  if (body.dataset.events) {
    listen();
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => { // somebody came back to the page as it was left
      if (!event.persisted) return;
      listen();
      changed();
    });
  }
  document.addEventListener("visibilitychange", changed);
})();
