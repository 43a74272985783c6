// The page's only script: draws the board, keeps it live, flips flags, asks why.

const $ = (id) => document.getElementById(id);
const RETRY_MILLISECONDS = 3000;
const board = { drawn: "", busy: false, again: false };

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function attributes(made, pairs) {
  for (const [name, value] of Object.entries(pairs)) made.setAttribute(name, value);
  return made;
}

async function ask(path, options = {}) {
  const response = await fetch(path, { headers: { accept: "application/json" }, ...options });
  if (response.status === 401) {
    location.assign("/");
    throw new Error("The sign-in is over.");
  }
  const body = response.headers.get("content-length") === "0" ? null : await response.json().catch(() => null);
  if (!response.ok) throw new Error(body?.detail ?? body?.errorDetails ?? `The server answered ${response.status}.`);
  return body;
}

function complain(error) {
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
}

function status(state, text) {
  $("status").dataset.state = state;
  $("status").textContent = text;
}

function asked() {
  return new URLSearchParams({ env: $("env").value || "prod", user: $("user").value.trim(), country: $("country").value });
}

// One request at a time; what happens meanwhile asks for one more.
async function refresh() {
  if (board.busy) {
    board.again = true;
    return;
  }
  board.busy = true;
  try {
    do {
      board.again = false;
      draw(await ask(`/page/board?${asked()}`));
    } while (board.again);
    complain(null);
  } catch (error) {
    complain(error);
  } finally {
    board.busy = false;
  }
}

function draw(data) {
  $("org").textContent = data.org;
  if ($("env").length !== data.environments.length) {
    $("env").replaceChildren(...data.environments.map((key) => new Option(key, key, false, key === data.env)));
  }
  const shape = JSON.stringify([data.env, data.tenants, data.flags.map((flag) => flag.key)]);
  if (shape !== board.drawn) {
    board.drawn = shape;
    $("tenants").replaceChildren(heading("Flag"), ...data.tenants.map(tenantHeading));
    $("flags").replaceChildren(...data.flags.map(row));
  } else {
    data.flags.forEach((flag, index) => update($("flags").rows[index], flag));
  }
  const revision = data.flags[0]?.cells[0]?.answer?.revision;
  status("live", revision ? `live, revision ${revision}` : "live");
  $("hint").hidden = data.flags.length === 0;
  $("more").hidden = !data.more;
  $("empty").hidden = data.flags.length !== 0;
}

function heading(text) {
  return attributes(element("th", { textContent: text }), { scope: "col", role: "columnheader" });
}

function tenantHeading(tenant) {
  const facts = Object.values(tenant.attributes).filter((value) => typeof value === "string").join(", ");
  const made = heading("");
  made.append(element("strong", { textContent: tenant.key }), facts);
  return made;
}

function row(flag) {
  const name = element("span", { className: "name", textContent: flag.key },
    element("span", { className: "class", textContent: flag.class }));
  const about = element("span", { className: "about quiet", textContent: flag.description });
  const head = attributes(element("th", {}, toggle(flag), name, about), { scope: "row", role: "rowheader" });
  const made = attributes(element("tr", {}, head), { role: "row" });
  for (const cell of flag.cells) {
    const button = element("button", { type: "button", className: "answer" });
    button.addEventListener("click", () => why(flag.key, cell.tenant));
    const label = element("span", { className: "tenant quiet", ariaHidden: "true", textContent: cell.tenant });
    made.append(attributes(element("td", {}, label, button), { role: "cell" }));
    show(button, flag.key, cell);
  }
  return made;
}

function toggle(flag) {
  const made = attributes(element("button", { type: "button", className: "switch" }), {
    role: "switch",
    "aria-label": flag.key,
    "aria-checked": String(flag.enabled),
  });
  made.addEventListener("click", () => flip(made, flag.key));
  return made;
}

function update(made, flag) {
  made.querySelector(".switch").setAttribute("aria-checked", String(flag.enabled));
  const buttons = made.querySelectorAll(".answer");
  flag.cells.forEach((cell, index) => show(buttons[index], flag.key, cell, true));
}

function show(button, flag, cell, flash = false) {
  const { text, kind } = valueOf(cell);
  const { fineReason = "", rule } = cell.answer ?? {};
  const reason = rule ? `rule ${rule}` : words(fineReason);
  const shown = `${text} ${reason}`;
  if (button.dataset.shown === shown) return;
  button.dataset.shown = shown;
  button.setAttribute("aria-label", `${flag} for ${cell.tenant}: ${text}, ${reason}. Why?`);
  button.replaceChildren(
    element("span", { className: `value ${kind}`, textContent: text }),
    element("span", { className: "reason", textContent: reason }),
  );
  if (flash) fresh(button);
}

function valueOf(cell) {
  const answer = cell.answer ?? {};
  if (cell.status !== 200) return { text: answer.errorCode ?? `error ${cell.status}`, kind: "error" };
  if (answer.errorCode) return { text: answer.errorCode, kind: "error" };
  if (answer.value === undefined) return { text: "caller’s default", kind: "" };
  if (typeof answer.value === "boolean") return { text: answer.value ? "on" : "off", kind: String(answer.value) };
  if (typeof answer.value === "object") return { text: answer.variant ?? JSON.stringify(answer.value), kind: "" };
  return { text: String(answer.value), kind: "" };
}

function words(reason) {
  if (reason === "OFF") return "the flag is off";
  return reason.toLowerCase().replaceAll("_", " ");
}

function fresh(made) {
  made.classList.remove("fresh");
  void made.offsetWidth; // Restarts the animation.
  made.classList.add("fresh");
  made.addEventListener("animationend", () => made.classList.remove("fresh"), { once: true });
}

async function flip(made, flag) {
  const to = made.getAttribute("aria-checked") === "true" ? "kill" : "enable";
  made.setAttribute("aria-busy", "true");
  try {
    const path = `/v1/orgs/${$("org").textContent}/environments/${$("env").value}/flags/${encodeURIComponent(flag)}/${to}`;
    const state = await ask(path, { method: "POST" });
    made.setAttribute("aria-checked", String(state.enabled));
    complain(null);
  } catch (error) {
    complain(error);
  } finally {
    made.removeAttribute("aria-busy");
  }
}

async function why(flag, tenant) {
  const query = asked();
  query.set("flag", flag);
  query.set("tenant", tenant);
  try {
    const told = await ask(`/page/why?${query}`);
    const value = told.value === undefined ? "the caller’s default" : JSON.stringify(told.value);
    $("why-title").textContent = `Why does ${tenant} get this from ${flag}?`;
    $("why-answer").replaceChildren(element("span", { className: "value", textContent: value }),
      ` ${told.reason} · ${told.rule ? `rule ${told.rule}` : words(told.fineReason)}`);
    $("why-steps").replaceChildren(...told.steps.map(step));
    $("why-foot").textContent =
      `Flag version ${told.flagVersion ?? "none"}, revision ${told.revision}, confirmed ${told.ageSeconds} s ago. ` +
      `Asked in ${query.get("env")} for user ${query.get("user") || "nobody"} from ${query.get("country")}.`;
    if (!$("why").open) $("why").showModal();
  } catch (error) {
    complain(error);
  }
}

function step(told) {
  const mark = told.held === true ? "✓" : told.held === false ? "✗" : "·";
  const held = told.held === true ? "holds" : told.held === false ? "does not hold" : "";
  const made = element("li", { className: `depth-${Math.min(told.depth, 6)} ${told.held === true ? "held" : ""}` });
  made.append(attributes(element("span", { className: "mark", textContent: mark }), { "aria-label": held, role: "img" }), told.text);
  return made;
}

function says(sayings) {
  $("sample").hidden = sayings.length === 0;
  for (const saying of sayings) {
    let made = [...$("says").children].find((item) => item.dataset.tenant === saying.tenant);
    if (!made) {
      made = element("li", {}, element("strong", { textContent: saying.tenant }), element("span"));
      made.dataset.tenant = saying.tenant;
      $("says").append(made);
    }
    const text = made.lastElementChild;
    if (text.textContent === saying.says) continue;
    if (text.textContent !== "") fresh(made);
    text.textContent = saying.says;
  }
}

function listen() {
  const source = new EventSource("/page/live");
  source.addEventListener("open", refresh);
  source.addEventListener("error", () => {
    status("lost", "no connection to the server; trying again");
    // A browser tries again by itself, unless it was answered something else than a stream.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(listen, RETRY_MILLISECONDS);
      refresh();
    }
  });
  source.addEventListener("published", (event) => {
    const news = JSON.parse(event.data);
    if (news.env === undefined || news.env === $("env").value) {
      refresh();
    }
  });
  source.addEventListener("says", (event) => says(JSON.parse(event.data)));
}

$("env").append(new Option("prod", "prod"));
$("ask").addEventListener("submit", (event) => event.preventDefault());
$("ask").addEventListener("input", refresh);
refresh();
listen();
