"use strict";
// Pictures open large on a click, tables sort by the column whose heading is clicked.
const dialog = document.querySelector("dialog");
document.addEventListener("click", (event) => {
  if (dialog.open) { dialog.close(); return; }
  const picture = event.target.closest("figure img");
  const heading = event.target.closest("th");
  if (picture) enlarge(picture);
  else if (heading) sortBy(heading);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("figure img")) enlarge(event.target);
});
function enlarge(picture) {
  const large = dialog.querySelector("img");
  large.src = picture.src;
  large.alt = picture.alt;
  large.className = picture.className;
  dialog.showModal();
}
function sortBy(heading) {
  const body = heading.closest("table").tBodies[0];
  const up = heading.getAttribute("aria-sort") !== "ascending";
  const value = (row) => row.cells[heading.cellIndex].dataset.value;
  const order = (a, b) => {
    const x = value(a), y = value(b);
    const both = heading.classList.contains("number");
    return both ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
  };
  const rows = [...body.rows].sort((a, b) => (up ? order(a, b) : order(b, a)));
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...rows);
}
