/* page.js - what pf-report.sh puts in front of a report's own scripts: it listens for errors, drags the
 * mesh, sorts the tables, and leaves lines "ok NAME" and "not ok NAME" in the page. */
"use strict";
(() => {
    const faults = [], result = document.createElement("pre");
    result.style.whiteSpace = "pre-wrap";
    addEventListener("error", (e) => faults.push(`error: ${e.message}`));
    addEventListener("unhandledrejection", (e) => faults.push(`rejection: ${e.reason}`));
    addEventListener("securitypolicyviolation", (e) => faults.push(`policy: ${e.blockedURI}`));
    for (const how of ["error", "warn"])
        console[how] = (...words) => faults.push(`${how}: ${words.join(" ")}`);

    const say = (line) => result.append(`${line}\n`);
    const ok = (name, good, why) => say(`${good ? "ok" : "not ok"} ${name}${good ? "" : `: ${why}`}`);
    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const pixels = (canvas) => {
        const p = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let opaque = 0, hash = 0;
        for (let i = 0; i < p.length; i += 4) {
            opaque += p[i + 3] === 255;
            hash = (hash * 31 + p[i] + 3 * p[i + 1] + 7 * p[i + 2]) | 0;
        }
        return { opaque: opaque / (canvas.width * canvas.height), hash };
    };
    const point = (canvas, type, x, y) => canvas.dispatchEvent(new PointerEvent(type,
        { pointerId: 1, clientX: x, clientY: y, bubbles: true }));

    const tryMesh = async (canvas) => {
        if (!canvas) {                          // viewer.js put a sentence there
            ok("the mesh is drawn # SKIP no WebGL 2", document.body.textContent.includes("no WebGL 2"),
                "neither it nor why not");
            return;
        }
        canvas.scrollIntoView();
        for (let i = 0; i < 50 && pixels(canvas).opaque === 0; i++)
            await frame();
        const before = pixels(canvas);
        ok("the mesh is drawn", before.opaque > 0.03 && before.opaque < 0.9, before.opaque);
        point(canvas, "pointerdown", 100, 100);
        point(canvas, "pointermove", 160, 120);
        point(canvas, "pointerup", 160, 120);
        await frame();
        const dragged = pixels(canvas);
        ok("a drag turns it", dragged.hash !== before.hash && dragged.opaque > 0.03, dragged.hash);
        point(canvas, "pointermove", 300, 300);
        await frame();
        ok("but not once the button is up", pixels(canvas).hash === dragged.hash, "it moved");
        const key = (name) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
        key("ArrowLeft");
        await frame();
        ok("so do the arrow keys", pixels(canvas).hash !== dragged.hash, "it did not move");
        key("+");
        await frame();
        ok("plus comes closer", pixels(canvas).opaque > dragged.opaque, pixels(canvas).opaque);
        key("Home");
        await frame();
        ok("and Home goes back", pixels(canvas).hash === before.hash, "it looks otherwise");
    };

    const column = (table, name) => {
        const at = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent === name);
        return { heading: table.tHead.rows[0].cells[at],
            texts: () => [...table.tBodies[0].rows].map((r) => r.cells[at].textContent) };
    };
    const tryTable = (table) => {
        const seconds = column(table, "seconds"), button = seconds.heading.querySelector("button");
        button.click();
        ok("a table is sorted by numbers", seconds.texts().join() === "9.00 s,10.0 s,100.0 s,",
            seconds.texts());
        ok("and says so", seconds.heading.getAttribute("aria-sort") === "ascending", "no aria-sort");
        button.click();
        ok("the other way, with what has none last", seconds.texts().join() ===
            "100.0 s,10.0 s,9.00 s," && seconds.heading.getAttribute("aria-sort") === "descending",
            seconds.texts());
        const status = column(table, "status");
        status.heading.querySelector("button").click();
        ok("and by words", status.texts()[0] === "done" && status.texts().at(-1) === "failed" &&
            !seconds.heading.hasAttribute("aria-sort"), status.texts());
    };

    /* Relative luminance of "#rrggbb", and the contrast of two, as WCAG 2 defines both. */
    const luminance = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
        .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const contrast = (a, b) => {
        const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
        return (light + 0.05) / (dark + 0.05);
    };
    /* The browser shows one of both palettes; the other is looked up in the style sheet. */
    const tryColors = () => {
        const rules = [...document.styleSheets[0].cssRules];
        const dark = rules.find((r) => r.media?.mediaText.includes("dark")).cssRules[0].style;
        const light = rules.find((r) => r.selectorText === ":root").style;
        for (const [name, style] of [["light", light], ["dark", dark]]) {
            const color = (what) => style.getPropertyValue(`--${what}`).trim();
            const faint = ["text", "quiet", "good", "bad", "middle", "link"].filter((what) =>
                !(Math.min(contrast(color(what), color("ground")),
                    contrast(color(what), color("card"))) >= 4.5));
            ok(`words can be read where it is ${name}`, faint.length === 0, faint);
        }
        const shown = matchMedia("(prefers-color-scheme: dark)").matches ? dark : light;
        const probe = document.createElement("p");
        probe.style.color = shown.getPropertyValue("--ground");
        document.body.append(probe);
        ok("the page is as light as the browser wants it",
            getComputedStyle(document.body).backgroundColor === getComputedStyle(probe).color,
            getComputedStyle(document.body).backgroundColor);
        probe.remove();
    };

    const tryPage = () => {
        const nameless = [...document.querySelectorAll("img, canvas, video, svg")].filter((e) =>
            !(e.getAttribute("alt") || e.getAttribute("aria-label")));
        ok("pictures have texts", nameless.length === 0, nameless.length);
        const blank = [...document.images].filter((i) => !i.complete || !i.naturalWidth);
        ok("pictures can be read", document.images.length > 2 && blank.length === 0, blank.length);
        const asked = performance.getEntriesByType("resource").filter((r) => !r.name.startsWith("data:"));
        ok("nothing is asked for", asked.length === 0, asked.map((r) => r.name));
        ok("nothing of a file became markup", !window.stolen && !document.querySelector("[onerror]") &&
            document.querySelectorAll("script").length === document.querySelectorAll(".mesh").length + 2,
            document.querySelectorAll("script").length);
        ok("what was wide scrolls, not the page", document.documentElement.scrollWidth <= innerWidth,
            document.documentElement.scrollWidth);
    };

    /* Chromium prints the page when it is loaded, and it is not while a frame's text has no end. */
    addEventListener("DOMContentLoaded", async () => {
        const held = document.createElement("iframe");
        document.body.append(held);
        held.contentDocument.open();
        document.body.prepend(result);
        say("BEGIN");
        try {
            for (const image of document.images)
                image.loading = "eager";
            await tryMesh(document.querySelector("canvas.viewer"));
            tryTable(document.querySelector("table.batch"));
            await Promise.all([...document.images].map((i) => i.decode()));
            tryColors();
            tryPage();
        } catch (e) {
            faults.push(`exception: ${e.stack}`);
        }
        ok("no error in the console", faults.length === 0, faults.join("; "));
        say("END");
        held.contentDocument.close();
    });
})();
