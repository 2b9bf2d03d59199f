"use strict";
// A blind comparison: pairs one after the other, a key for each vote, the votes as a file in the end.
(() => {
  const { of, seed, id, pairs } = JSON.parse(document.getElementById("data").textContent).blind;
  const shelf = `atelier compare --blind ${id}`;
  const votes = remembered();
  const [left, right] = document.querySelectorAll("#pair img");
  const buttons = document.querySelectorAll("button[data-vote]");
  const progress = document.getElementById("progress"), outcome = document.getElementById("outcome");

  const winner = (pair, side) => (side === "neither" ? null : Number((side === "right") !== pair.swapped));

  // Votes outlast a reload where the browser lets a page remember anything.
  function remembered() {
    try {
      const found = JSON.parse(localStorage.getItem(shelf));
      return Array.isArray(found) ? found : [];
    } catch {
      return [];
    }
  }

  function remember() {
    try {
      localStorage.setItem(shelf, JSON.stringify(votes));
    } catch { /* then not */ }
  }

  function show() {
    remember();
    const done = votes.length === pairs.length;
    for (const element of [document.getElementById("pair"), ...buttons]) element.hidden = done;
    outcome.hidden = !done;
    progress.textContent = done ? "All done." : `${votes.length + 1} of ${pairs.length}`;
    if (!done) {
      left.src = pairs[votes.length].left;
      right.src = pairs[votes.length].right;
      return;
    }
    const wins = of.map((_, i) => votes.filter(({ vote }) => vote === i).length);
    outcome.querySelector("p").textContent = `${of[0]} ${wins[0]}, ${of[1]} ${wins[1]}, neither ${votes.length - wins[0] - wins[1]}`;
    const held = JSON.stringify({ of, seed, votes }, null, 1);
    outcome.querySelector("a").href = `data:application/json,${encodeURIComponent(held)}`;
  }

  function vote(side) {
    if (votes.length === pairs.length) return;
    const pair = pairs[votes.length];
    votes.push({ names: pair.names, vote: winner(pair, side) });
    show();
  }

  const keys = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "neither" };
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
    if (keys[event.key]) vote(keys[event.key]);
    else if (event.key === "ArrowUp" && votes.pop()) show();
    else return;
    event.preventDefault();
  });
  for (const button of buttons) button.addEventListener("click", () => vote(button.dataset.vote));
  document.getElementById("anew").addEventListener("click", () => {
    votes.length = 0;
    show();
  });
  show();
})();
