// What pages do beyond HTML. Everything works without it, but for copying and
// for logs that grow by themselves.
"use strict";

for (const box of document.querySelectorAll("[data-copy]")) {
  const button = box.querySelector("button");
  if (!button || !navigator.clipboard) continue;
  button.hidden = false;
  const said = button.querySelector("[data-said]");
  const say = (words) => { said.textContent = said.dataset.said = words; };
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(box.querySelector("code").textContent);
      say("Copied");
    } catch {
      say("Not allowed by the browser");
    }
    setTimeout(say, 2000, "Copy");
  });
}

// "/" goes to the search, unless somebody is writing.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable) return;
  const field = document.querySelector("input[type=search]");
  if (field) { event.preventDefault(); field.focus(); field.select(); }
});

// Menus close when they lose the focus, and by Escape.
for (const menu of document.querySelectorAll("details.menu")) {
  menu.addEventListener("focusout", (event) => { if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false; });
  menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); } });
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
}

// Forms that cannot be undone ask once more.
for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => { if (!confirm(form.dataset.confirm)) event.preventDefault(); });
}

// A select that filters sends its form by itself; its button is then not needed.
for (const select of document.querySelectorAll("select[data-send]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// The log of a build that runs.
const log = document.querySelector("[data-log]");
if (log) {
  const source = new EventSource(log.dataset.log);
  let text = log.firstChild || log.appendChild(document.createTextNode(""));
  source.addEventListener("start", () => { text.data = ""; });
  source.addEventListener("message", (event) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    text.appendData(event.data + "\n");
    if (atEnd) log.scrollTop = log.scrollHeight;
  });
  source.addEventListener("end", () => { source.close(); location.reload(); });
}

// On a narrow screen tabs are wider than it: the present one is shown.
for (const tab of document.querySelectorAll(".tabs [aria-current], .sidenav [aria-current]")) {
  tab.scrollIntoView({ block: "nearest", inline: "center" });
}
