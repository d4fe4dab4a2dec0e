// The setting for others: words to copy, files to save, a bulk job to start.

import { attempt, post, postForBlob, save, tell } from "./api.js";
import { told } from "./compare.js";
import { onChange, ready, setting } from "./state.js";

const by = (id) => document.getElementById(id);
const NAMES = ["command", "python", "job"];
const places = () => ({ source: by("source").value.trim(), dest: by("dest").value.trim() });
let asked = 0;

async function write() {
  if (!by("handover").open || !ready()) return;
  const mine = ++asked;
  try {
    const words = await post("/api/handover", { ...setting(), ...places() });
    if (mine === asked) for (const name of NAMES) by(name).textContent = words[name];
  } catch (error) {
    tell(error.message);
  }
}

export function startHandover() {
  onChange(write);
  by("handover").addEventListener("toggle", write);
  by("source").onchange = by("dest").onchange = write;
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.onclick = attempt(async () => {
      await navigator.clipboard.writeText(by(button.dataset.copy).textContent);
      by("started").textContent = "Copied.";
    });
  }
  by("save-job").onclick = attempt(async () => {
    const words = await post("/api/handover", { ...setting(), ...places() });
    save(new Blob([words.job], { type: "application/toml" }), "job.toml");
  });
  by("cube").onclick = attempt(async () => {
    const { blob, name } = await postForBlob("/api/cube", setting());
    save(blob, name);
  });
  if (by("bulk")) {
    by("bulk").onclick = attempt(async () => {
      by("started").textContent = "Starting…";
      try {
        told(by("started"), await post("/api/bulk", { ...setting(), ...places() }));
      } catch (error) {
        by("started").textContent = "";
        throw error;
      }
    });
  }
}
