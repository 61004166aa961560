/* table.js - tables that a click on a heading, or Enter on it, sorts: numbers by what the cell's
 * data-value says, or by its text, and those that have none last. */
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0];

    const key = (row, column) => {
        const cell = row.cells[column], text = cell ? cell.textContent.trim() : "";
        const number = cell && cell.dataset.value !== undefined ? cell.dataset.value : text;
        return { text, number: number === "" ? NaN : Number(number) };
    };
    const compare = (a, b) => {
        if (!isNaN(a.number) || !isNaN(b.number))
            return isNaN(a.number) ? 1 : isNaN(b.number) ? -1 : a.number - b.number;
        return a.text === "" ? 1 : b.text === "" ? -1 : a.text.localeCompare(b.text);
    };
    const sort = (column) => {
        const heading = headings[column];
        const down = heading.getAttribute("aria-sort") === "ascending";
        const rows = [...body.rows].map((row) => ({ row, key: key(row, column) }));
        rows.sort((a, b) => {
            const empty = (k) => k.text === "";
            const order = compare(a.key, b.key);
            return down && !empty(a.key) && !empty(b.key) ? -order : order;
        });
        body.append(...rows.map((r) => r.row));
        for (const h of headings)
            h.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    };
    headings.forEach((heading, column) => {
        if (heading.tagName !== "TH")
            return;
        const button = document.createElement("button");
        button.type = "button";
        button.append(...heading.childNodes);
        button.addEventListener("click", () => sort(column));
        heading.append(button);
    });
}
