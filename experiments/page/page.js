"use strict";
// Charts and sliders of a page that holds all that it shows: its data stands in the element #data.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 190, 48, 10, 8, 22];

  function add(parent, name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  const shown = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3
    ? value.toExponential(1) : String(Number(value.toPrecision(4))));

  function ticks(low, high, logarithmic) {
    if (logarithmic) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) found.push(10 ** power);
      const inside = found.filter((value) => value >= low && value <= high);
      return inside.length > 1 ? inside : [low, high];
    }
    const flat = high - low < 1e-9 * Math.max(Math.abs(high), Math.abs(low));
    if (flat) return [high];
    const rough = (high - low) / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
    return found;
  }

  function axis(low, high, from, to, logarithmic) {
    const place = logarithmic ? Math.log10 : (value) => value;
    const width = place(high) - place(low) || 1;
    return (value) => from + (to - from) * (place(value) - place(low)) / width;
  }

  const hidden = new Set();  // places of runs that are not shown
  const colour = (run) => (run === undefined ? "var(--mark)" : `hsl(${(25 + 137.5 * run) % 360} 70% ${38 + 12 * (run % 2)}%)`);

  // series: {run, points: [step, kimg, minutes, value] each} each.
  function draw(svg, label, series, column, logarithmic) {
    svg.replaceChildren();
    const lines = series.filter(({ run }) => !hidden.has(run)).map(({ run, points }) => ({
      run, points: points.filter((point) => point[column] !== null && (!logarithmic || point[3] > 0))
        .map((point) => [point[column], point[3]]),
    })).filter(({ points }) => points.length);
    label.textContent = "";
    if (!lines.length) return;
    const all = lines.flatMap(({ points }) => points), xs = all.map(([x]) => x), ys = all.map(([, y]) => y);
    const [left, right] = [Math.min(...xs), Math.max(...xs)], [low, high] = [Math.min(...ys), Math.max(...ys)];
    const x = axis(left, right, LEFT, WIDTH - RIGHT, false), y = axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic);
    for (const value of ticks(low, high, logarithmic)) {
      add(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) });
      add(svg, "text", { x: LEFT - 4, y: y(value) + 3, "text-anchor": "end" }, shown(value));
    }
    for (const value of ticks(left, right, false))
      add(svg, "text", { x: x(value), y: HEIGHT - 6, "text-anchor": "middle" }, shown(value));
    for (const { run, points } of lines) {
      const d = points.map(([a, b], i) => `${i ? "L" : "M"}${x(a)} ${y(b)}`).join("");
      add(svg, "path", { d, style: `stroke: ${colour(run)}` });
    }
    const dot = add(svg, "circle", { r: 3 });
    const say = (run, [a, b]) => {
      dot.setAttribute("cx", x(a));
      dot.setAttribute("cy", y(b));
      dot.setAttribute("style", `fill: ${colour(run)}`);
      label.textContent = `${shown(b)} at ${shown(a)}${run === undefined ? "" : `, ${data.runs[run]}`}`;
    };
    const end = () => say(lines[0].run, lines[0].points.at(-1));
    svg.onpointermove = (event) => {
      const box = svg.getBoundingClientRect(), scale = WIDTH / box.width;
      const [atX, atY] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      let nearest, least = Infinity;
      for (const { run, points } of lines) for (const point of points) {
        const away = Math.hypot(x(point[0]) - atX, (lines.length > 1) * (y(point[1]) - atY));
        if (away < least) [nearest, least] = [[run, point], away];
      }
      say(...nearest);
    };
    svg.onpointerleave = end;
    end();
  }

  const charts = [...document.querySelectorAll("figure[data-chart]")].map((figure) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    figure.append(svg);
    return [svg, figure.querySelector("output"), data.charts[figure.dataset.chart]];
  });

  function redraw() {
    if (!charts.length) return;
    const over = document.querySelector("input[name=over]:checked");
    const logarithmic = document.getElementById("logarithmic");
    for (const [svg, label, series] of charts) draw(svg, label, series, Number(over.value), logarithmic.checked);
  }

  for (const input of document.querySelectorAll("input[name=over], #logarithmic")) input.addEventListener("change", redraw);
  redraw();

  for (const panel of document.querySelectorAll(".panel")) {
    const frames = data.panels[panel.dataset.panel];
    const [image, slider, said] = ["img", "input", "output"].map((name) => panel.querySelector(name));
    const show = () => {
      image.src = frames[slider.value].source;
      said.textContent = frames[slider.value].caption;
    };
    slider.addEventListener("input", show);
    show();
  }

  for (const panel of document.querySelectorAll(".abreast")) {
    const { ticks: counts, runs } = data.abreast[panel.dataset.abreast];
    const slider = panel.querySelector("input"), said = panel.querySelector("p output");
    const figures = new Map([...panel.querySelectorAll("figure")].map((figure) => [Number(figure.dataset.run), figure]));
    const show = () => {
      const count = counts[slider ? slider.value : 0];
      said.textContent = count ? `after ${(count / 1000).toLocaleString("en")} thousand images` : "";
      for (const { run, frames } of runs) {
        const frame = frames.findLast(({ at }) => at <= count) ?? frames[0], figure = figures.get(run);
        figure.querySelector("img").src = frame.source;
        figure.querySelector("output").textContent = frame.at && frame.at !== count ? `(${frame.at / 1000})` : "";
      }
    };
    slider?.addEventListener("input", show);
    show();
  }

  const rows = [...document.querySelectorAll("tr[data-run]")];
  for (const row of rows) {
    const box = row.querySelector("input"), run = Number(row.dataset.run);
    if (charts.some(([, , series]) => series.some((one) => one.run === run))) row.style.setProperty("--own", colour(run));
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(run); else hidden.add(run);
      for (const figure of document.querySelectorAll(`figure[data-run="${run}"]`)) figure.hidden = !box.checked;
      redraw();
    });
  }

  for (const table of document.querySelectorAll(".sortable")) {
    const heads = [...table.querySelectorAll("th")], body = table.tBodies[0];
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const cell = row.cells[column], text = cell.textContent;
        return cell.className === "number" ? Number(text) : text;
      };
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");  // what is not there stands last either way
        return (down ? -1 : 1) * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(y));
      };
      body.append(...[...body.rows].sort(order));
    }));
  }
})();
