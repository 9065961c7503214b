import { parentPort, workerData } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { heartbeatIntervalMs } from '../../src/spec/defaults.ts';
import { systemClock } from '../../src/util/clock.ts';
import { helloOf } from '../../manager/testing.ts';
import { sampleNode } from '../samples.ts';

/** A thread with one session for each node: it greets, beats, and confirms what it is sent; it runs nothing. */
const { port, nodes } = workerData as { port: number; nodes: { id: string; address: string }[] };

let isQuiet = false;
parentPort?.on('message', () => (isQuiet = true));
for (const node of nodes) open(node);

function open({ id, address }: { id: string; address: string }): void {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/${id}`, { perMessageDeflate: false });
  let cancelBeat: (() => void) | undefined;
  const send = (message: object) => socket.send(JSON.stringify(message));
  const beat = () => {
    send({ type: 'heartbeat' });
    cancelBeat = systemClock.after(heartbeatIntervalMs, beat);
  };
  socket.on('open', () => {
    const description = { ...sampleNode(id).description!, address, memoryBytes: 2 ** 40 };
    send(helloOf(description, { instance: id, host: id }));
    beat();
  });
  socket.on('message', (data: Buffer) => {
    const sequence = /^\{"type":"assignments".*?"sequence":(\d+)/.exec(data.subarray(0, 200).toString())?.[1];
    if (sequence !== undefined) send({ type: 'applied', sequence: Number(sequence) });
    if (isQuiet) return;
    const received = { nodeId: id, bytes: data.length };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port to another thread has no origin
    parentPort?.postMessage(received);
  });
  socket.on('close', () => cancelBeat?.());
  socket.on('error', () => undefined); // followed by close
}
