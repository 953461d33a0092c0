// Keeps a page up to date, and sends what a person decides. Everything can be read without it.
"use strict";

(() => {
  const MAX_LOG = 400000;
  const live = document.getElementById("live");

  // ---- times: relative and in the reader's own zone

  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const relative = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

  function ago(seconds) {
    for (const [unit, length] of units) {
      if (seconds >= length) return relative.format(-Math.floor(seconds / length), unit);
    }
    return seconds < 10 ? "just now" : relative.format(-Math.floor(seconds), "second");
  }

  // The same forms as on the server: the two largest units.
  function lasting(milliseconds) {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    const pair = (high, a, low, b) => (low ? `${high}${a} ${low}${b}` : `${high}${a}`);
    if (seconds < 60) return `${seconds}s`;
    if (seconds < 3600) return pair(Math.floor(seconds / 60), "m", seconds % 60, "s");
    if (seconds < 86400) return pair(Math.floor(seconds / 3600), "h", Math.floor((seconds % 3600) / 60), "m");
    return pair(Math.floor(seconds / 86400), "d", Math.floor((seconds % 86400) / 3600), "h");
  }

  function tick() {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[datetime]")) {
      const moment = Date.parse(time.dateTime);
      if (Number.isNaN(moment)) continue;
      time.title = absolute.format(moment);
      const text = ago((now - moment) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
    for (const elapsed of document.querySelectorAll("[data-since]")) {
      const text = lasting(now - Date.parse(elapsed.dataset.since));
      if (elapsed.textContent !== text) elapsed.textContent = text;
    }
  }

  // ---- logs: a stage's text grows while it runs

  const decoders = new WeakMap();
  const reading = new WeakSet();

  // Terminal colours and controls; a line overwritten by a carriage return keeps its last state.
  function plain(text) {
    return text
      .replace(/\u001b\[[0-?]*[ -\/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b./g, "")
      .replace(/\r+\n/g, "\n")
      .replace(/[^\n]*\r/g, "")
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
  }

  async function readLog(pre) {
    if (reading.has(pre) || !pre.isConnected) return;
    reading.add(pre);
    try {
      for (let more = true; more; ) {
        const response = await fetch(`${pre.dataset.log}&offset=${pre.dataset.next}`, { headers: { accept: "text/plain" } });
        if (!response.ok) return;
        const bytes = new Uint8Array(await response.arrayBuffer());
        const next = response.headers.get("x-longboat-next-offset");
        if (bytes.length) {
          let decoder = decoders.get(pre);
          if (!decoder) decoders.set(pre, (decoder = new TextDecoder()));
          const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 40;
          let text = pre.textContent + plain(decoder.decode(bytes, { stream: true }));
          if (text.length > MAX_LOG) {
            text = text.slice(text.indexOf("\n", text.length - MAX_LOG / 2) + 1);
            const cut = pre.parentElement.querySelector(".log-cut");
            if (cut) cut.hidden = false;
          }
          pre.textContent = text;
          if (atEnd) pre.scrollTop = pre.scrollHeight;
        }
        if (next) pre.dataset.next = next;
        if (response.headers.get("x-longboat-end") === "true") pre.removeAttribute("data-live");
        more = bytes.length > 0;
      }
    } catch {
      // The next round tries again.
    } finally {
      reading.delete(pre);
    }
  }

  function readLogs() {
    if (document.hidden) return;
    for (const pre of document.querySelectorAll("details[open] > pre[data-live]")) readLog(pre);
  }

  // ---- the living part: fetched anew when the server says that something changed

  let fetching = false;
  let again = false;
  let timer = 0;

  function refresh() {
    if (!live || timer) return;
    timer = setTimeout(async () => {
      timer = 0;
      if (fetching) { again = true; return; }
      fetching = true;
      try {
        const response = await fetch(live.dataset.fragment, { headers: { accept: "text/html" } });
        // Signed out meanwhile: the whole page leads to where one signs in.
        if (response.status === 401 || response.redirected) { location.reload(); return; }
        if (response.ok) replace(await response.text());
      } catch {
        // The event source notices for itself when the server is back.
      } finally {
        fetching = false;
        if (again) { again = false; refresh(); }
      }
    }, 150);
  }

  function replace(html) {
    const fresh = document.createElement("div");
    fresh.innerHTML = html;
    const focused = document.activeElement && live.contains(document.activeElement) ? document.activeElement : null;
    // What a person has opened, typed or scrolled to stays.
    for (const details of fresh.querySelectorAll("details[id]")) {
      const old = document.getElementById(details.id);
      if (old && old.dataset.status === details.dataset.status) details.open = old.open;
    }
    for (const control of fresh.querySelectorAll("input[id], select[id], textarea[id]")) {
      const old = document.getElementById(control.id);
      if (old) control.value = old.value;
    }
    const kept = new Map();
    for (const old of live.querySelectorAll("pre[data-key]")) kept.set(old.dataset.key, old);
    const scrolled = [];
    for (const pre of fresh.querySelectorAll("pre[data-key]")) {
      const old = kept.get(pre.dataset.key);
      if (!old) continue;
      scrolled.push([old, old.scrollTop]);
      const [cut, oldCut] = [pre, old].map((log) => log.parentElement.querySelector(".log-cut"));
      if (cut && oldCut) cut.hidden = oldCut.hidden;
      // One more look after the end, for what was printed last.
      if (!pre.hasAttribute("data-live") && old.hasAttribute("data-live")) old.dataset.last = "";
      pre.replaceWith(old);
    }
    const graph = live.querySelector(".graph");
    const graphLeft = graph ? graph.scrollLeft : 0;
    live.replaceChildren(...fresh.childNodes);
    for (const [pre, top] of scrolled) pre.scrollTop = top;
    const newGraph = live.querySelector(".graph");
    if (newGraph) newGraph.scrollLeft = graphLeft;
    if (focused && focused.id) {
      const target = document.getElementById(focused.id);
      if (target) target.focus({ preventScroll: true });
    }
    for (const pre of live.querySelectorAll("pre[data-last]")) {
      delete pre.dataset.last;
      readLog(pre).then(() => pre.removeAttribute("data-live"));
    }
    const state = document.getElementById("state");
    if (state) {
      document.title = state.dataset.title;
      const announce = document.getElementById("announce");
      if (announce && announce.textContent !== state.dataset.announce) announce.textContent = state.dataset.announce;
      if (state.hasAttribute("data-complete")) { live.setAttribute("data-complete", ""); close(); }
      // Somebody restarted it.
      else if (live.hasAttribute("data-complete")) { live.removeAttribute("data-complete"); open(); }
    }
    arm();
    tick();
    readLogs();
  }

  let source = null;

  function open() {
    if (!live || source || !live.dataset.events || live.hasAttribute("data-complete") || document.hidden) return;
    source = new EventSource(live.dataset.events);
    // Whatever happened before the stream was open, or was dropped from it, is fetched.
    for (const name of ["open", "changed", "lagged"]) source.addEventListener(name, refresh);
    source.addEventListener("error", () => {
      // A refused stream is not tried again by the browser; we try, slowly.
      if (source && source.readyState === EventSource.CLOSED) { close(); refresh(); setTimeout(open, 5000); }
    });
  }

  function close() {
    if (source) source.close();
    source = null;
  }

  // ---- what a person decides

  function value(control) {
    const text = control.value;
    switch (control.dataset.kind) {
      case "integer":
      case "number": {
        const number = Number(text);
        return Number.isNaN(number) ? text : number;
      }
      case "boolean":
        return text === "true" ? true : text === "false" ? false : text;
      case "list":
      case "object":
        try { return JSON.parse(text); } catch { return text; }
      default:
        return text;
    }
  }

  function body(form, button) {
    const controls = [...form.querySelectorAll("input[name], select[name], textarea[name]")];
    if (form.hasAttribute("data-start")) {
      const parameters = {};
      for (const control of controls) {
        if (control.value !== "") parameters[control.name] = value(control);
      }
      return { parameters };
    }
    const content = {};
    for (const control of controls) content[control.name] = control.value;
    if (button && button.name) content[button.name] = button.value;
    return content;
  }

  async function send(event) {
    const form = event.target.closest("form[data-post]");
    if (!form) return;
    event.preventDefault();
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) return;
    const content = body(form, event.submitter);
    const buttons = [...form.querySelectorAll("button")];
    const error = form.querySelector(".act-error");
    buttons.forEach((button) => (button.disabled = true));
    if (error) error.hidden = true;
    try {
      const response = await fetch(form.dataset.post, {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json" },
        body: JSON.stringify(content),
      });
      const answer = await response.json().catch(() => ({}));
      if (!response.ok) {
        const faults = (answer.errors || []).map((fault) => `${fault.field}: ${fault.message}`);
        throw new Error([answer.detail || answer.title || `The server answered ${response.status}.`, ...faults].join("\n"));
      }
      if (form.hasAttribute("data-start") && answer.id) { location.assign(`/executions/${encodeURIComponent(answer.id)}`); return; }
      refresh();
    } catch (problem) {
      const text = problem instanceof TypeError ? "The server can't be reached." : problem.message;
      if (error) { error.textContent = text; error.hidden = false; }
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  }

  // Controls that need this script are hidden without it.
  function arm() {
    for (const element of document.querySelectorAll("form[data-post][hidden], [data-needs-script][hidden]")) element.hidden = false;
  }

  document.addEventListener("submit", send);
  document.addEventListener("toggle", readLogs, true);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); return; }
    if (live && !live.hasAttribute("data-complete")) refresh();
    open();
    readLogs();
  });

  arm();
  tick();
  open();
  for (const pre of document.querySelectorAll("pre[data-key]")) pre.scrollTop = pre.scrollHeight;
  readLogs();
  setInterval(tick, 1000);
  setInterval(readLogs, 1000);
  if (live && live.dataset.every) setInterval(() => { if (!document.hidden) refresh(); }, live.dataset.every * 1000);
})();
