"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const word = (n) => data.strings[n];
  const one = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const rows = all("table.lanes tr[data-step]");
  const parts = all("[data-part]");
  const arrows = all("[data-arrow]");
  const entries = all("[data-entry]");
  const panes = all("[data-pane]");
  const slider = one("slider");
  const bases = new Map(parts.map((g) => [g, g.getAttribute("class").replace(/ (gone|stale|violating)/g, "")]));
  let current = data.depth;

  const flags = (cell, own, other, tag) => {
    const made = own.map((flag) => {
      const item = document.createElement(other.includes(flag) ? "span" : tag);
      item.textContent = flag;
      return item;
    });
    if (!made.length) {
      const none = document.createElement("span");
      none.className = "none";
      none.textContent = "empty";
      made.push(none);
    }
    cell.replaceChildren(...made.flatMap((item) => [item, " "]));
  };

  // About how wide words are, in lower-case letters: there is only so much room in a row.
  const span = (words) => words.length + 0.4 * (words.match(/[A-Z]/g) || []).length;

  const drawParts = (n, before) => {
    for (const g of parts) {
      const looks = data.parts[g.dataset.part];
      const [text, state] = looks[n];
      const old = looks[before][0];
      const moved = old !== text;
      g.setAttribute("class", [bases.get(g), word(state), moved ? "touched" : ""].filter(Boolean).join(" "));
      const name = g.querySelector("title");
      const title = name.textContent.split(": ")[0];
      const said = word(text) || (moved ? "empty" : "");
      const was = word(old) || "empty";
      const fits = moved && span(title) + span(was) + span(said) < 32;
      g.querySelector(".was").textContent = fits ? was : "";
      g.querySelector(".is").textContent = (fits ? " \u2192 " : "") + said;
      const tag = g.querySelector(".tag");
      if (tag) tag.textContent = word(state).includes("stale") ? " stale" : "";
      name.textContent = `${title}: ${moved ? `was ${was}, now ` : ""}${word(text) || "empty"}`;
    }
    for (const path of arrows) {
      const look = word(data.arrows[path.dataset.arrow][n]);
      path.setAttribute("class", "arrow " + (look || "none"));
      path.setAttribute("marker-end", `url(#head-${["stale", "violating", "lost"].includes(look) ? "stale" : "live"})`);
    }
  };

  const drawEntries = (n, before) => {
    for (const row of entries) {
      const [states, stale, wrong] = data.entries[row.dataset.entry];
      const old = states[before].map(word);
      const now = states[n].map(word);
      flags(row.querySelector(".before"), old, now, "del");
      flags(row.querySelector(".after"), now, old, "ins");
      row.classList.toggle("changed", old.join("\n") !== now.join("\n"));
      row.querySelector(".note").textContent = wrong && n === data.depth ? "violates the property" : stale[n] ? "stale" : "";
    }
  };

  const drawPanes = (n) => {
    panes.forEach((pane, number) => {
      const [, at, ran] = data.panes[number];
      const key = word(at[n]);
      const line = key && one(key);
      const ranNow = new Set(ran[n].map(word));
      pane.querySelector(".idle").hidden = Boolean(key);
      for (const block of all(".function", pane)) block.hidden = !line || !block.contains(line);
      for (const li of all("li", pane)) {
        li.classList.toggle("here", li === line);
        li.classList.toggle("ran", ranNow.has(li.id));
        if (li === line) li.setAttribute("aria-current", "step"); else li.removeAttribute("aria-current");
      }
    });
  };

  const said = (n) => {
    if (!n) return `Before step 1 of ${data.depth}`;
    const [lane, label, place] = data.steps[n - 1];
    return `Step ${n} of ${data.depth}: ${data.lanes[lane]}: ${word(label)}${place ? ` (${word(place)})` : ""}`;
  };

  const show = (n, follow = true) => {
    current = Math.min(data.depth, Math.max(0, n));
    const before = Math.max(0, current - 1);
    drawParts(current, before);
    drawEntries(current, before);
    drawPanes(current);
    for (const row of rows) {
      const step = Number(row.dataset.step);
      row.classList.toggle("current", step === current);
      row.classList.toggle("later", step > current);
      if (step === current) row.setAttribute("aria-current", "step"); else row.removeAttribute("aria-current");
    }
    slider.value = current;
    slider.setAttribute("aria-valuetext", said(current));
    one("now").textContent = said(current);
    for (const id of ["first", "back"]) one(id).disabled = current === 0;
    for (const id of ["on", "last"]) one(id).disabled = current === data.depth;
    all(".when").forEach((e) => { e.textContent = current ? `after step ${current}` : "before the first step"; });
    all(".when-number").forEach((e) => { e.textContent = current || "1 (nothing has happened yet)"; });
    if (!follow) return;
    history.replaceState(null, "", `#step=${current}`);
    rows.find((row) => Number(row.dataset.step) === current)?.scrollIntoView({ block: "nearest" });
  };

  const linked = () => {
    const match = /^#step=(\d+)$/.exec(location.hash);
    return match ? Number(match[1]) : null;
  };

  const copied = (text) => {
    const focus = document.activeElement;
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focus?.focus({ preventScroll: true });
    return done;
  };

  const copy = async (text, what) => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      done = copied(text);
    }
    one("copied").textContent = done ? `Copied ${what}` : "The browser refuses; the text stands at the end of the page";
  };

  const themes = ["auto", "light", "dark"];
  const theme = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    one("theme").textContent = `Colours: ${name}`;
    one("theme").setAttribute("aria-label", `Colours: ${name === "auto" ? "as the system" : name}`);
  };

  all("nav, .filter, .tools").forEach((e) => { e.hidden = false; });
  one("first").addEventListener("click", () => show(0));
  one("back").addEventListener("click", () => show(current - 1));
  one("on").addEventListener("click", () => show(current + 1));
  one("last").addEventListener("click", () => show(data.depth));
  slider.addEventListener("input", () => show(Number(slider.value)));
  one("copy-mail").addEventListener("click", () => copy(one("mail").textContent, "the mail"));
  one("copy-markdown").addEventListener("click", () => copy(one("markdown").textContent, "the Markdown"));
  one("copy-link").addEventListener("click", () => copy(location.href.split("#")[0] + `#step=${current}`, `the link to step ${current}`));
  one("theme").addEventListener("click", () => {
    theme(themes[(themes.indexOf(document.documentElement.dataset.theme || "auto") + 1) % themes.length]);
  });
  for (const box of all(".filter input")) {
    box.addEventListener("change", () => {
      for (const cell of all(`table.lanes [data-column="${box.dataset.lane}"]`)) cell.hidden = !box.checked;
      for (const row of rows) if (row.dataset.lane === box.dataset.lane) row.classList.toggle("off", !box.checked);
    });
  }
  for (const row of rows) row.addEventListener("click", () => { if (!String(getSelection())) show(Number(row.dataset.step)); });
  const keys = { ArrowLeft: () => show(current - 1), ArrowRight: () => show(current + 1), Home: () => show(0), End: () => show(data.depth) };
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || !(event.key in keys)) return;
    if (event.target.closest("input[type=range], .scroll, pre, .listing") && event.target.scrollWidth > event.target.clientWidth + 1) return;
    if (event.target === slider) return;
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("hashchange", () => { const n = linked(); if (n !== null) show(n, false); });
  let shown = null;
  addEventListener("beforeprint", () => { shown = current; show(data.depth, false); });
  addEventListener("afterprint", () => { if (shown !== null) show(shown, false); });
  const start = linked();
  show(start === null ? data.depth : start, false);
})();
