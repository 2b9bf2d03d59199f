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
    const rough = (high - low) / 4 || Math.abs(high) || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough * 0.999);
    const found = [];
    for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9 * step; value += step) found.push(value);
    return found;
  }

  function axis(low, high, from, to, logarithmic) {
    const place = logarithmic ? Math.log10 : (value) => value;
    const width = place(high) - place(low) || 1;
    return (value) => from + (to - from) * (place(value) - place(low)) / width;
  }

  // points: [step, kimg, minutes, value] each.
  function draw(svg, label, points, column, logarithmic) {
    svg.replaceChildren();
    const seen = points.filter((point) => point[column] !== null && (!logarithmic || point[3] > 0));
    if (!seen.length) return;
    const xs = seen.map((point) => point[column]), ys = seen.map((point) => point[3]);
    const [left, right] = [Math.min(...xs), Math.max(...xs)], [low, high] = [Math.min(...ys), Math.max(...ys)];
    const x = axis(left, right, LEFT, WIDTH - RIGHT, false), y = axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic);
    for (const value of ticks(low, high, logarithmic)) {
      add(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) });
      add(svg, "text", { x: LEFT - 4, y: y(value) + 3, "text-anchor": "end" }, shown(value));
    }
    for (const value of ticks(left, right, false))
      add(svg, "text", { x: x(value), y: HEIGHT - 6, "text-anchor": "middle" }, shown(value));
    add(svg, "path", { d: seen.map((point, i) => `${i ? "L" : "M"}${x(point[column])} ${y(point[3])}`).join("") });
    const dot = add(svg, "circle", { r: 3, cx: x(xs.at(-1)), cy: y(ys.at(-1)) });
    const say = (i) => {
      dot.setAttribute("cx", x(xs[i]));
      dot.setAttribute("cy", y(ys[i]));
      label.textContent = `${shown(ys[i])} at ${shown(xs[i])}`;
    };
    svg.onpointermove = (event) => {
      const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) * WIDTH / box.width;
      let nearest = 0;
      xs.forEach((value, i) => { if (Math.abs(x(value) - at) < Math.abs(x(xs[nearest]) - at)) nearest = i; });
      say(nearest);
    };
    svg.onpointerleave = () => say(xs.length - 1);
    say(xs.length - 1);
  }

  const charts = [...document.querySelectorAll("figure[data-chart]")].map((figure) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    figure.append(svg);
    return [svg, figure.querySelector("output"), data.charts[figure.dataset.chart]];
  });

  function redraw() {
    const over = document.querySelector("input[name=over]:checked");
    const logarithmic = document.getElementById("logarithmic");
    for (const [svg, label, points] of charts) draw(svg, label, points, Number(over.value), logarithmic.checked);
  }

  for (const input of document.querySelectorAll("input[name=over], #logarithmic")) input.addEventListener("change", redraw);
  if (charts.length) redraw();

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
})();
