// Sorting, filtering, and the list of changed answers. Everything shown is set as text, never as markup.
"use strict";
(() => {
  const DIFF_WORDS = 600, PRINTED = 20;
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Texts that a spreadsheet would compute begin with an apostrophe.
  const cell = (value) => {
    const words = value === null || value === undefined ? "" : String(value);
    return `"${(/^[=+\-@\t\r]/.test(words) && !Number.isFinite(Number(words)) ? `'${words}` : words).replaceAll('"', '""')}"`;
  };
  const save = (name, rows) => {
    const link = make("a"), lines = rows.map((row) => row.map(cell).join(","));
    link.href = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // ---- folded parts and terms

  const reveal = (element) => {
    for (let part = element; part; part = part.parentElement?.closest("details")) if (part.tagName === "DETAILS") part.open = true;
    const folded = element.matches(".part") && find(":scope > details", element);
    if (folded) folded.open = true;
    element.scrollIntoView();
  };
  const follow = () => {
    const id = location.hash.slice(1).split("?")[0], element = id && document.getElementById(id);
    if (element) reveal(element);
  };
  addEventListener("hashchange", follow);
  follow();
  for (const link of all('a[href^="#"]')) link.addEventListener("click", () => { if (link.hash === location.hash) follow(); });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") all(".term:is(:hover, :focus-within)").forEach((term) => term.classList.add("closed"));
  });
  for (const term of all(".term")) {
    for (const end of ["mouseleave", "focusout"]) term.addEventListener(end, () => term.classList.remove("closed"));
  }

  // ---- sortable tables

  // What a cell is sorted by and saved as: its attribute, else its text; nothing where nothing was measured.
  const raw = (each) => each.dataset.v ?? each.textContent.trim().replace(/^–$/, "").replace(/^([\d,]+)$/, (digits) => digits.replaceAll(",", ""));
  const sortValue = (row, column, kind) => {
    const value = raw(row.cells[column]);
    return value === "" ? null : kind === "number" ? Number(value) : value.toLowerCase();
  };
  const sort = (table, header) => {
    const column = header.cellIndex, kind = header.dataset.sort;
    const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    all("th[aria-sort]", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = Array.from(table.tBodies[0].rows, (row) => [sortValue(row, column, kind), row]);
    keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * (a < b ? -1 : a > b ? 1 : 0)));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  };
  for (const table of all("table[data-sortable]")) {
    for (const header of all("th[data-sort]", table.tHead)) {
      const button = make("button", "", header.textContent);
      button.type = "button";
      button.addEventListener("click", () => sort(table, header));
      header.replaceChildren(button);
    }
  }
  const filter = find("#details-filter");
  if (filter) {
    const rows = Array.from(find("#details-table").tBodies[0].rows);
    const words = rows.map((row) => row.textContent.toLowerCase());
    filter.addEventListener("input", () => {
      const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !wanted.every((word) => words[i].includes(word));
        shown += row.hidden ? 0 : 1;
      });
      find("output[for=details-filter]").textContent = wanted.length ? `${shown} of ${rows.length} rows` : "";
    });
    find("#details-csv").addEventListener("click", () => {
      const titles = all("#details-table thead th").map((title) => title.textContent);
      const shown = Array.from(find("#details-table").tBodies[0].rows).filter((row) => !row.hidden);
      save("comparisons.csv", [titles, ...shown.map((row) => Array.from(row.cells, raw))]);
    });
    for (const part of all("#details [data-script]")) part.hidden = false;
  }

  // ---- one example across base and all candidates

  const island = find("#flip-data"), controls = find("#flip-controls");
  if (island && controls) {
    const data = JSON.parse(island.textContent);
    const viewer = find("#flip-viewer"), pager = find("#flip-pager"), count = find("output", pager);
    const fields = ["candidate", "task", "change", "text"].map((name) => controls.elements.namedItem(name));
    const [candidate, task, change, text] = fields;
    const STATES = [["=", "as the base", ""], ["▼", "lost", "v-forgotten"], ["▲", "gained", "v-retained"]];
    const examples = data.rows.map(([t, id, prompt, reference, base, score, cut, answers]) => ({
      t, id, score, cut, prompt: data.texts[prompt], reference: data.texts[reference], base: data.texts[base],
      answers: answers.map(([c, state, answer, own]) => ({ c, state, score: own, text: data.texts[answer] })),
    }));
    let chosen = examples, place = 0;

    const option = (select, value, label) => {
      const element = make("option", "", label);
      element.value = value;
      select.append(element);
    };
    data.candidates.forEach((name, i) => option(candidate, String(i), name));
    data.tasks.forEach((name, i) => option(task, String(i), name));

    // Longest common subsequence over words; null where that would take too long, or nothing is common.
    const diff = (before, after) => {
      const a = before.match(/\s+|\S+/g) || [], b = after.match(/\s+|\S+/g) || [];
      if (a.length > DIFF_WORDS || b.length > DIFF_WORDS) return null;
      const width = b.length + 1, longest = new Uint16Array((a.length + 1) * width);
      for (let i = a.length - 1; i >= 0; i--) {
        for (let j = b.length - 1; j >= 0; j--) {
          const here = i * width + j;
          longest[here] = a[i] === b[j] ? longest[here + width + 1] + 1 : Math.max(longest[here + width], longest[here + 1]);
        }
      }
      const parts = [];
      let common = false;
      const add = (kind, word) => {
        const last = parts.at(-1);
        if (last && last[0] === kind) last[1] += word; else parts.push([kind, word]);
      };
      for (let i = 0, j = 0; i < a.length || j < b.length;) {
        if (i < a.length && j < b.length && a[i] === b[j]) { common ||= a[i].trim() !== ""; add("", a[i]); i++; j++; }
        else if (j === b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) add("del", a[i++]);
        else add("ins", b[j++]);
      }
      return common ? parts : null;
    };
    const textBox = (content, parts) => {
      const box = make("pre", "text");
      box.dir = "auto";
      if (content.length > 900) box.tabIndex = 0;
      if (content === "") box.append(make("span", "none", "(empty)"));
      for (const [kind, words] of parts || [["", content]]) box.append(kind ? make(kind, "", words) : words);
      return box;
    };
    const score = (value) => (value === null ? "–" : String(value).replace("-", "−"));
    const line = (name, state, value, box) => {
      const [glyph, words, style] = state;
      const row = make("tr"), head = make("th", "", name), said = make("td", `verdict ${style}`, glyph ? `${glyph} ${words}` : words);
      const answer = make("td", "answer");
      head.scope = "row";
      answer.append(box);
      row.append(head, said, make("td", "number", value), answer);
      return row;
    };
    const heading = ["Model", "", "Score", "Answer"];
    const shown = (example) => {
      const box = make("article", "example"), head = make("h3"), prompt = make("div", "prompt");
      head.append(make("span", "", data.tasks[example.t]), " ", make("span", "note", example.id));
      if (example.cut) head.append(" ", make("span", "chip", "prompt cut"));
      prompt.append(make("h4", "", "Asked"), textBox(example.prompt), make("h4", "", "Right"), textBox(example.reference));
      const wrap = make("div", "scroll"), table = make("table", "plain answers"), top = make("tr"), body = make("tbody");
      for (const title of heading) {
        const cell = make(title ? "th" : "td", title === "Score" ? "number" : "", title);
        if (title) cell.scope = "col";
        top.append(cell);
      }
      table.createTHead().append(top);
      body.append(line("base", ["", "", ""], score(example.score), textBox(example.base)));
      for (const each of example.answers) {
        const parts = each.text === example.base ? null : diff(example.base, each.text);
        body.append(line(data.candidates[each.c], STATES[each.state], score(each.score), textBox(each.text, parts)));
      }
      table.append(body);
      wrap.tabIndex = 0;
      wrap.setAttribute("role", "region");
      wrap.setAttribute("aria-label", "Answers of base and candidates");
      wrap.append(table);
      box.append(head, prompt, wrap);
      return box;
    };

    const show = () => {
      viewer.replaceChildren(...(chosen.length ? [shown(chosen[place])] : []));
      count.textContent = chosen.length ? `Example ${place + 1} of ${chosen.length}` : "no example fits these filters";
      find("[data-step='-1']", pager).disabled = place === 0;
      find("[data-step='1']", pager).disabled = place + 1 >= chosen.length;
      for (const button of all("[data-do]", pager)) button.disabled = chosen.length === 0;
    };
    const choose = () => {
      const wanted = text.value.toLowerCase(), state = Number(change.value);
      const has = (example) => [example.prompt, example.reference, example.base, example.id, ...example.answers.map((each) => each.text)]
        .some((part) => part.toLowerCase().includes(wanted));
      const fits = (each) => (candidate.value === "" || each.c === Number(candidate.value)) && (state ? each.state === state : each.state > 0);
      chosen = examples.filter((example) => (task.value === "" || example.t === Number(task.value)) &&
        example.answers.some(fits) && (wanted === "" || has(example)));
      place = 0;
    };
    const keep = () => {
      const state = new URLSearchParams();
      for (const field of fields) if (field.value !== "") state.set(field.name, field.value);
      if (place) state.set("example", String(place + 1));
      try { history.replaceState(null, "", `#flips${state.size ? `?${state}` : ""}`); } catch { /* some viewers forbid it: the filter works all the same */ }
    };
    const restore = () => {
      const [id, query] = location.hash.split("?");
      if (id !== "#flips" || query === undefined) return;
      const state = new URLSearchParams(query);
      for (const field of fields) field.value = state.get(field.name) ?? "";
      for (const select of [candidate, task, change]) if (select.selectedIndex < 0) select.value = "";
      choose();
      place = Math.min(Math.max(Number.parseInt(state.get("example"), 10) || 1, 1), Math.max(chosen.length, 1)) - 1;
      show();
    };
    const step = (by) => {
      if (!chosen[place + by]) return;
      place += by;
      show();
      keep();
    };
    controls.addEventListener("input", () => { choose(); show(); keep(); });
    controls.addEventListener("submit", (event) => event.preventDefault());
    find("#flips").addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by || event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, pre, .scroll")) return;
      event.preventDefault();
      step(by);
    });
    const asText = (example) => [
      `${data.tasks[example.t]} ${example.id}`, `Asked:\n${example.prompt}`, `Right:\n${example.reference}`,
      `base (${score(example.score)}):\n${example.base}`,
      ...example.answers.map((each) => `${data.candidates[each.c]} (${STATES[each.state][1]}, ${score(each.score)}):\n${each.text}`),
    ].join("\n\n");
    const say = (words) => { find("[role=status]", pager).textContent = words; };
    pager.addEventListener("click", (event) => {
      const { step: by, do: what } = event.target.dataset ?? {};
      if (by) step(Number(by));
      if (what === "copy") navigator.clipboard.writeText(asText(chosen[place])).then(() => say("copied"), () => say("this viewer does not let pages copy"));
      if (what === "csv") {
        const rows = chosen.flatMap((example) => [["base", "", example.score, example.base],
          ...example.answers.map((each) => [data.candidates[each.c], STATES[each.state][1], each.score, each.text])]
          .map(([model, state, value, answer]) => [data.tasks[example.t], example.id, example.prompt, example.reference, model, state, value, answer]));
        save("examples.csv", [["task", "id", "asked", "right", "model", "change", "score", "answer"], ...rows]);
      }
    });
    for (const link of all("a[data-task]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        [candidate.value, task.value, change.value, text.value] = [link.dataset.candidate, link.dataset.task, "", ""];
        choose();
        show();
        keep();
        reveal(find("#flips"));
      });
    }
    addEventListener("hashchange", restore);
    controls.hidden = pager.hidden = false;
    choose();
    show();
    restore();
    addEventListener("beforeprint", () => {
      if (document.documentElement.classList.contains("print-all")) viewer.replaceChildren(...chosen.slice(0, PRINTED).map(shown));
    });
    addEventListener("afterprint", show);
  }
  // ---- printing: the first screen, the matrix, and what is unfolded; everything on request

  let opened = [];
  const everything = (on) => document.documentElement.classList.toggle("print-all", on);
  const fold = () => { opened.forEach((part) => { part.open = false; }); opened = []; everything(false); };
  addEventListener("beforeprint", () => {
    const wanted = document.documentElement.classList.contains("print-all") ? "details" : "#matrix > details";
    opened = all(wanted).filter((part) => !part.open);
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", fold);
  find("#print").addEventListener("click", () => print());
  find("#print-all").addEventListener("click", () => { everything(true); print(); });
  find("footer .actions").hidden = false;
})();
