// Puts the parts of the page together.

import { startCompare } from "./compare.js";
import { startHandover } from "./handover.js";
import { startPhotos } from "./photos.js";
import { startRegions } from "./regions.js";
import { changed } from "./state.js";
import { startView } from "./view.js";

function startKnobs() {
  const knobs = document.querySelectorAll("[data-knob]");
  const show = (knob) => {
    const output = knob.parentElement.querySelector("output");
    if (output) output.textContent = knob.value;
  };
  for (const knob of knobs) {
    knob.oninput = () => {
      show(knob);
      changed();
    };
  }
  for (const id of ["model", "same-look"]) document.getElementById(id).onchange = changed;
  document.getElementById("reset").onclick = () => {
    for (const knob of knobs) {
      knob.value = knob.dataset.default;
      show(knob);
    }
    document.getElementById("same-look").checked = false;
    changed();
  };
}

startRegions();
startView();
startHandover();
startCompare();
startKnobs();
startPhotos(document.querySelector("meta[name=pcakd]").dataset.examples.split(" "));
document.documentElement.dataset.ready = "yes";
