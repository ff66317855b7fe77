// The four buttons. Rule: nothing is sent without a second yes, and the answer says whether the engine took it.

import { ask, send } from "./api.js";
import { byId } from "./dom.js";
import { t } from "./texts.js";

const LOOK_MS = 100;
const LOOKS = 50;

let asked = "";

export function watchButtons() {
  for (const button of document.querySelectorAll("[data-command]"))
    button.addEventListener("click", () => confirm(button.dataset.command));
  byId("confirm-yes").addEventListener("click", () => {
    byId("confirm").close();
    void order(asked);
  });
}

export function labelButtons(commandable) {
  for (const button of document.querySelectorAll("[data-command]")) {
    button.textContent = t(`command_${button.dataset.command}`);
    button.disabled = !commandable;
    button.title = commandable ? "" : t("no_engine");
  }
  const said = byId("said");
  if (!commandable && !said.textContent) said.textContent = t("no_engine");
  else if (commandable && said.dataset.command === undefined) said.textContent = "";
  else if (!commandable && said.dataset.command === undefined) said.textContent = t("no_engine");
}

function confirm(command) {
  asked = command;
  byId("confirm-title").textContent = t(`command_${command}`);
  byId("confirm-text").textContent = t(`confirm_${command}`);
  byId("confirm-yes").textContent = t("confirm_yes", { command });
  byId("confirm").showModal();
}

async function order(command) {
  const began = performance.now();
  try {
    const { id } = await send(command);
    say("sent", command);
    for (let look = 0; look < LOOKS; look += 1) {
      if ((await ask(`/api/command/${id}`)).done) {
        byId("said").dataset.milliseconds = String(Math.round(performance.now() - began));
        say("done", command);
        return;
      }
      await new Promise((go) => setTimeout(go, LOOK_MS));
    }
    say("waiting", command);
  } catch (error) {
    say("refused", command, error.message);
  }
}

function say(what, command, why = "") {
  const said = byId("said");
  said.dataset.command = command;
  said.dataset.what = what;
  said.textContent = t(`command_${what}`, { command, why });
}
