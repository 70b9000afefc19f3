// The durations and the lateness of the newest runs of a task, over time. Without a script there is the table of them.
"use strict";

(() => {
  const HEIGHT = 190;
  const FAILED = new Set(["failed", "timed_out"]);
  let plots = [];
  let drawn = "";

  const room = () => document.getElementById("plots");
  const source = () => document.getElementById("plot-data")?.dataset.plot ?? "";
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function told(seconds) {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 1) return `${Number((seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0))} ms`;
    if (seconds < 60) return `${Number(seconds.toFixed(1))} s`;
    if (seconds < 3600) return `${Number((seconds / 60).toFixed(1))} min`;
    return `${Number((seconds / 3600).toFixed(1))} h`;
  }

  // Times are shown in the zone of the server, as everywhere on the page.
  function zoned(data) {
    return (stamp) => {
      const local = new Date(stamp * 1000);
      return new Date(stamp * 1000 + (data.offset + local.getTimezoneOffset() * 60) * 1000);
    };
  }

  // A failed run is a cross, any other a disc: told by shape and by colour.
  function cross(plot, index) {
    const { ctx } = plot;
    const size = 3.5 * devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = colour("--bad");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.beginPath();
    plot.data[index].forEach((value, at) => {
      if (value === null) return;
      const x = plot.valToPos(plot.data[0][at], "x", true);
      const y = plot.valToPos(value, "y", true);
      ctx.moveTo(x - size, y - size);
      ctx.lineTo(x + size, y + size);
      ctx.moveTo(x + size, y - size);
      ctx.lineTo(x - size, y + size);
    });
    ctx.stroke();
    ctx.restore();
    return false;
  }

  // Runs at the edges are seen whole; one alone stands in the middle of an hour.
  function widened(plot, low, high) {
    if (plot.data[0].length === 1) return [low - 1800, low + 1800];
    const more = Math.max((high - low) * 0.02, 1);
    return [low - more, high + more];
  }

  function options(title, data, width) {
    const ink = colour("--ink-soft");
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: ink, grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    return {
      title,
      width,
      height: HEIGHT,
      tzDate: zoned(data),
      cursor: { y: false, points: { show: false } },
      scales: { x: { range: widened }, y: { range: (plot, low, high) => [(high || 0.001) * -0.06, (high || 0.001) * 1.15] } },
      axes: [
        { ...axis, space: 70, values: [
          [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
          [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
          [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
        ] },
        { ...axis, size: 64, values: (plot, ticks) => ticks.map((tick) => (tick < 0 ? "" : told(tick))) },
      ],
      legend: { live: true, markers: { show: false } },
      series: [
        { label: "At", value: (plot, stamp) => (stamp === null ? "" : zoned(data)(stamp).toLocaleString()) },
        { label: "● not failed", stroke: colour("--good"), fill: colour("--good"), paths: () => null, points: { show: true, size: 6, fill: colour("--good"), width: 0 }, value: (plot, value) => told(value) },
        { label: "× failed", stroke: colour("--bad"), paths: () => null, points: { show: cross }, value: (plot, value) => told(value) },
      ],
    };
  }

  function columns(data, key) {
    const of = (failed) => data[key].map((value, at) => (FAILED.has(data.state[at]) === failed ? value : null));
    return [data.at, of(false), of(true)];
  }

  function draw(force) {
    const text = source();
    const place = room();
    if (!place || !text || (text === drawn && !force)) return;
    drawn = text;
    const data = JSON.parse(text);
    place.hidden = false;
    for (const plot of plots) plot.destroy();
    place.replaceChildren();
    plots = [];
    for (const [key, title] of [["duration", "Duration"], ["lateness", "Lateness"]]) {
      if (!data[key].some((value) => value !== null)) continue;
      const figure = document.createElement("div");
      figure.className = "plot";
      figure.setAttribute("role", "img");
      figure.setAttribute("aria-label", `${title} of ${data.at.length === 1 ? "one run" : `the newest ${data.at.length} runs`}. The numbers are in the table below.`);
      place.append(figure);
      plots.push(new uPlot(options(title, data, figure.clientWidth), columns(data, key), figure));
    }
  }

  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    for (const plot of plots) plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
  document.addEventListener("htmx:after:swap", () => draw(false));
  draw(false);
})();
