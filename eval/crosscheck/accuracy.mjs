// Runs RUN/model.onnx with ONNX Runtime's Node binding on the test images of
// an IDX folder, and compares the accuracy with the one in RUN/summary.json.
//
// usage: node accuracy.mjs RUN FOLDER     (onnxruntime-node must be installed beside this file or in NODE_PATH)
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [run, folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node accuracy.mjs RUN FOLDER');
  process.exit(2);
}
const require = createRequire(process.env.NODE_PATH ? join(process.env.NODE_PATH, 'x.js') : import.meta.url);
const ort = require('onnxruntime-node');

const images = readFileSync(join(folder, 't10k-images-idx3-ubyte'));
const labels = readFileSync(join(folder, 't10k-labels-idx1-ubyte'));
const [count, height, width] = [4, 8, 12].map((at) => images.readUInt32BE(at));
const pixels = height * width;

const session = await ort.InferenceSession.create(join(run, 'model.onnx'));
const [input] = session.inputNames;
const [output] = session.outputNames;
let right = 0;
for (let start = 0; start < count; start += 500) {
  const n = Math.min(500, count - start);
  const data = new Uint8Array(images.subarray(16 + start * pixels, 16 + (start + n) * pixels));
  const result = await session.run({ [input]: new ort.Tensor('uint8', data, [n, 1, height, width]) });
  const scores = result[output].data;
  const classes = scores.length / n;
  for (let i = 0; i < n; i++) {
    let best = 0;
    for (let k = 1; k < classes; k++) if (scores[i * classes + k] > scores[i * classes + best]) best = k;
    if (best === labels[8 + start + i]) right++;
  }
}
const accuracy = right / count;
const claimed = JSON.parse(readFileSync(join(run, 'summary.json'))).test_accuracy;
console.log(`${count} images: accuracy ${accuracy} by the Node binding, ${claimed} in summary.json`);
// One image may fall the other way where two scores tie to the last bit.
process.exit(Math.abs(accuracy - claimed) <= 1.5 / count ? 0 : 1);
