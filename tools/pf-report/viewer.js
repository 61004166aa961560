/* viewer.js - meshes that one can turn, in WebGL 2.  One context draws all of them, out of sight,
 * and each canvas gets a copy: browsers allow a page only some sixteen contexts, and what was drawn
 * stays for printing.  A mesh is unpacked when it comes into view. */
"use strict";
(() => {
    const canvases = [...document.querySelectorAll("canvas.viewer")];
    const surface = document.createElement("canvas");
    const gl = canvases.length ? surface.getContext("webgl2", { antialias: true }) : null;
    const START = { azimuth: 0.6, elevation: 0.4, zoom: 1.2 }, TURN = Math.PI / 18, ZOOM = 1.15;

    const VERTEX = `#version 300 es
        in vec3 position, normal, color;
        uniform mat4 projection;
        uniform vec3 low, size;
        out vec3 toward, tint;
        void main() {
            toward = normal;
            tint = color;
            gl_Position = projection * vec4(low + size * position, 1);
        }`;
    // Light comes from the eye, and a little from the sky, which is up the z axis.
    const FRAGMENT = `#version 300 es
        precision mediump float;
        in vec3 toward, tint;
        uniform vec3 eye;
        uniform bool plain;
        out vec4 pixel;
        void main() {
            vec3 n = normalize(toward);
            if (!gl_FrontFacing) n = -n;
            float light = 0.45 + 0.5 * max(dot(n, eye), 0.0) + 0.1 * n.z;
            pixel = vec4((plain ? vec3(0.75) : tint) * light * 1.1, 1);
        }`;

    const compile = () => {
        const program = gl.createProgram();
        for (const [type, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
            const shader = gl.createShader(type);
            gl.shaderSource(shader, text);
            gl.compileShader(shader);
            gl.attachShader(program, shader);
        }
        for (const [i, name] of ["position", "normal", "color"].entries())
            gl.bindAttribLocation(program, i, name);
        gl.linkProgram(program);
        if (!gl.getProgramParameter(program, gl.LINK_STATUS))
            throw new Error(gl.getProgramInfoLog(program));
        return program;
    };
    const numbers = (text) => text.split(" ").map(Number);

    /* Vertices of 12 bytes, position u16 [3], normal s8 [3], colour u8 [3]; then the indices. */
    const upload = (canvas) => {
        const packed = atob(canvas.nextElementSibling.textContent);
        const bytes = Uint8Array.from(packed, (c) => c.charCodeAt(0));
        const vertices = 12 * Number(canvas.dataset.vertices);
        const mesh = { array: gl.createVertexArray(), corners: 3 * Number(canvas.dataset.faces),
            type: canvas.dataset.index === "2" ? gl.UNSIGNED_SHORT : gl.UNSIGNED_INT };
        gl.bindVertexArray(mesh.array);
        gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
        gl.bufferData(gl.ARRAY_BUFFER, bytes.subarray(0, vertices), gl.STATIC_DRAW);
        gl.vertexAttribPointer(0, 3, gl.UNSIGNED_SHORT, true, 12, 0);
        gl.vertexAttribPointer(1, 3, gl.BYTE, true, 12, 6);
        gl.vertexAttribPointer(2, 3, gl.UNSIGNED_BYTE, true, 12, 9);
        for (let i = 0; i < 3; i++)
            gl.enableVertexAttribArray(i);
        gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
        gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, bytes.subarray(vertices), gl.STATIC_DRAW);
        return mesh;
    };

    /* The unit vector from the object to the eye; z is up. */
    const eyeOf = (at) => [Math.cos(at.elevation) * Math.cos(at.azimuth),
        Math.cos(at.elevation) * Math.sin(at.azimuth), Math.sin(at.elevation)];

    /* Columns of a matrix that looks at middle from distance along eye, the picture aspect wide. */
    const project = (eye, at, middle, distance, near, aspect) => {
        const right = [-Math.sin(at.azimuth), Math.cos(at.azimuth), 0];
        const up = [eye[1] * right[2] - eye[2] * right[1], eye[2] * right[0] - eye[0] * right[2],
            eye[0] * right[1] - eye[1] * right[0]];
        const focal = 2.2, far = 2 * distance - near + 1e-6, m = [];
        const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        const deep = (far + near) / (far - near), shift = 2 * far * near / (far - near);
        for (let k = 0; k < 3; k++)
            m.push(focal / aspect * right[k], focal * up[k], -deep * eye[k], -eye[k]);
        const depth = distance + dot(eye, middle);      // of the origin
        m.push(-focal / aspect * dot(right, middle), -focal * dot(up, middle), deep * depth - shift,
            depth);
        return m;
    };

    const program = gl ? compile() : null;
    const place = {};
    for (const name of program ? ["projection", "low", "size", "eye", "plain"] : [])
        place[name] = gl.getUniformLocation(program, name);

    const draw = (view) => {
        const { canvas, at, mesh } = view, low = numbers(canvas.dataset.low);
        const size = numbers(canvas.dataset.size), middle = low.map((l, k) => l + size[k] / 2);
        const radius = Math.hypot(...size) / 2 || 1, distance = 2.6 * radius / at.zoom;
        const near = Math.max(distance - radius, radius / 100), eye = eyeOf(at);
        surface.width = canvas.width;
        surface.height = canvas.height;
        gl.viewport(0, 0, canvas.width, canvas.height);
        gl.clearColor(0, 0, 0, 0);
        gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
        gl.enable(gl.DEPTH_TEST);
        gl.useProgram(program);
        gl.uniformMatrix4fv(place.projection, false, project(eye, at, middle, distance, near,
            canvas.width / canvas.height));
        gl.uniform3fv(place.low, low);
        gl.uniform3fv(place.size, size);
        gl.uniform3fv(place.eye, eye);
        gl.uniform1i(place.plain, view.plain ? 1 : 0);
        gl.bindVertexArray(mesh.array);
        gl.drawElements(gl.TRIANGLES, mesh.corners, mesh.type, 0);
        const picture = canvas.getContext("2d");
        picture.clearRect(0, 0, canvas.width, canvas.height);
        picture.drawImage(surface, 0, 0);
        view.waiting = false;
    };
    const show = (view) => {
        if (!view.mesh)
            view.mesh = upload(view.canvas);
        if (!view.waiting)
            requestAnimationFrame(() => draw(view));
        view.waiting = true;
    };
    const move = (view, azimuth, elevation, zoom) => {
        const at = view.at, most = Math.PI / 2 - 0.01;
        at.azimuth += azimuth;
        at.elevation = Math.min(most, Math.max(-most, at.elevation + elevation));
        at.zoom = Math.min(20, Math.max(0.3, at.zoom * zoom));
        show(view);
    };
    const reset = (view) => {
        Object.assign(view.at, START);
        show(view);
    };

    /* One finger or the mouse turns, up and down only once it has gone sideways, because a page
     * scrolls that way; two fingers zoom. */
    const follow = (view) => {
        const canvas = view.canvas, down = new Map();
        const apart = () => {
            const [a, b] = [...down.values()];
            return Math.hypot(a.x - b.x, a.y - b.y) || 1;
        };
        canvas.addEventListener("pointerdown", (e) => {
            down.set(e.pointerId, { x: e.clientX, y: e.clientY });
            if (e.isTrusted)                    // a script's pointer cannot be captured
                canvas.setPointerCapture(e.pointerId);
        });
        canvas.addEventListener("pointermove", (e) => {
            const last = down.get(e.pointerId), now = { x: e.clientX, y: e.clientY };
            if (!last)
                return;
            const before = down.size === 2 ? apart() : 0;
            down.set(e.pointerId, now);
            const turn = Math.PI / canvas.clientWidth;
            if (before)
                move(view, 0, 0, apart() / before);
            else
                move(view, (last.x - now.x) * turn, (now.y - last.y) * turn, 1);
        });
        for (const end of ["pointerup", "pointercancel"])
            canvas.addEventListener(end, (e) => down.delete(e.pointerId));
        canvas.addEventListener("wheel", (e) => {
            if (document.activeElement !== canvas)
                return;                         // the page scrolls, unless the mesh was clicked
            e.preventDefault();
            move(view, 0, 0, Math.exp(-e.deltaY / 500));
        }, { passive: false });
    };

    const actions = [["Left", "ArrowLeft", (v) => move(v, -TURN, 0, 1)],
        ["Right", "ArrowRight", (v) => move(v, TURN, 0, 1)],
        ["Up", "ArrowUp", (v) => move(v, 0, TURN, 1)],
        ["Down", "ArrowDown", (v) => move(v, 0, -TURN, 1)],
        ["Closer", "+", (v) => move(v, 0, 0, ZOOM)],
        ["Farther", "-", (v) => move(v, 0, 0, 1 / ZOOM)], ["Reset", "Home", reset]];
    const addControls = (view) => {
        const box = document.createElement("div"), label = document.createElement("label");
        const plain = document.createElement("input");
        box.className = "controls";
        for (const [name, , act] of actions) {
            const button = document.createElement("button");
            button.type = "button";
            button.textContent = name;
            button.addEventListener("click", () => act(view));
            box.append(button);
        }
        plain.type = "checkbox";
        plain.addEventListener("change", () => { view.plain = plain.checked; show(view); });
        label.append(plain, " without colours");
        box.append(label);
        view.canvas.nextElementSibling.after(box);
        view.canvas.addEventListener("keydown", (e) => {
            const action = actions.find((a) => a[1] === e.key || (a[1] === "+" && e.key === "="));
            if (!action || e.ctrlKey || e.altKey || e.metaKey)
                return;
            e.preventDefault();
            action[2](view);
        });
    };

    const views = new Map();
    const seen = new IntersectionObserver((entries) => entries.forEach((e) => {
        if (e.isIntersecting) {
            seen.unobserve(e.target);
            show(views.get(e.target));
        }
    }), { rootMargin: "200px" });
    for (const canvas of canvases) {
        if (!gl) {
            const note = document.createElement("p");
            note.textContent = "This browser shows no WebGL 2, which the mesh needs.";
            canvas.replaceWith(note);
            continue;
        }
        const view = { canvas, at: { ...START }, mesh: null, plain: false, waiting: false };
        views.set(canvas, view);
        follow(view);
        addControls(view);
        seen.observe(canvas);
    }
    addEventListener("beforeprint", () => views.forEach((view) => {
        view.mesh = view.mesh || upload(view.canvas);
        draw(view);
    }));
})();
