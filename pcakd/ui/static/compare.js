// Two models on the same pair, and votes.

import { attempt, get, post } from "./api.js";
import { ready, setting, state } from "./state.js";

const by = (id) => document.getElementById(id);
let pair = "";

// Not by `decode`, which waits for a picture that is not on the screen.
function loaded(image, address) {
  return new Promise((done, failed) => {
    image.onload = done;
    image.onerror = () => failed(new Error("The pictures of this pair did not arrive; show another."));
    image.src = address;
  });
}

const show = attempt(async () => {
  if (!ready()) throw new Error("Choose a photo and a style first.");
  const wanted = setting();
  wanted.shown = Math.floor(Math.random() * state.contents.length);
  const answer = await post("/api/compare", {
    ...wanted, first: by("first").value, second: by("second").value, blind: by("blind").checked,
  });
  await Promise.all(["left", "right"].map((side, number) => loaded(by(side), `/api/compare/${answer.pair}/${number}`)));
  pair = answer.pair;
  ["left", "right"].forEach((side, number) => (by(`${side}-name`).textContent = answer.models?.[number] ?? side));
  by("pair-view").hidden = by("votes").hidden = false;
});

const vote = attempt(async (event) => {
  const answer = await post("/api/vote", { pair, choice: event.target.dataset.choice });
  by("votes").hidden = true;
  ["left", "right"].forEach((side, number) => (by(`${side}-name`).textContent = answer.models[number]));
  by("counts").textContent = `Votes: ${Object.entries(answer.counts).map(([name, count]) => `${name} ${count}`).join(", ")}`;
  by("saved").textContent = "";
  if (by("save-votes")) by("save-votes").hidden = false;
});

const keep = attempt(async () => {
  by("saved").textContent = "Writing…";
  const made = await post("/api/votes/save", {});
  by("counts").textContent = "";
  by("save-votes").hidden = true;
  told(by("saved"), made);
});

export function told(place, made) {
  if (!made.link) return place.replaceChildren(made.name);
  const link = Object.assign(document.createElement("a"), { href: made.link, textContent: made.name, target: "_blank", rel: "noreferrer" });
  return place.replaceChildren(link);
}

async function addRegistered() {
  const { models } = await get("/api/models");
  for (const id of ["model", "first", "second"]) {
    const known = new Set([...by(id).options].map((one) => one.value));
    for (const name of models) if (!known.has(name)) by(id).append(new Option(name));
  }
}

export function startCompare() {
  by("pair").onclick = show;
  for (const button of document.querySelectorAll("[data-choice]")) button.onclick = vote;
  if (by("save-votes")) {
    by("save-votes").onclick = keep;
    by("compare").addEventListener("toggle", attempt(addRegistered), { once: true });
    by("model").addEventListener("focus", attempt(addRegistered), { once: true });
  }
}
