import type { Socket } from 'node:net';
import type { OutputSink } from './engine.ts';
import { type FifoFolder, openForReading, reopenForReading } from './fifos.ts';

const streams = ['stdout', 'stderr'] as const;

/** The output of one container on its way from the FIFOs to the sink. */
export interface Output {
  /** Resolves when every writer has gone and the sink has everything. */
  done: Promise<void>;
  /** Stops reading; what is unread stays in the FIFO. */
  detach(): void;
}

/** Names of a container's FIFOs. With a terminal there is one output only; `stdin` is one that nobody ever writes to. */
export function fifoNames(id: string): { stdin: string; stdout: string; stderr: string } {
  return { stdin: `${id}-stdin`, stdout: `${id}-stdout`, stderr: `${id}-stderr` };
}

/** The container whose FIFO has this name; nothing when it is another file. */
export function containerOfFifo(name: string): string | undefined {
  return /^(.+)-(?:stdin|stdout|stderr)$/.exec(name)?.[1];
}

/** Begins to read a container's new FIFOs. They must exist and nobody may have written yet. */
export function attachOutput(paths: string[], sink: OutputSink): Output {
  return combine(
    paths.map((path, index) => pump(openForReading(path), streams[index]!, sink)),
    sink,
  );
}

/** Goes on reading FIFOs of a container that an earlier process made. Missing ones count as ended. */
export function reattachOutput(fifos: FifoFolder, id: string, sink: OutputSink): Output {
  const names = fifoNames(id);
  const pumps = streams.flatMap((stream) => {
    try {
      const { socket, first } = reopenForReading(fifos.path(names[stream]));
      if (first.length > 0) void sink.write(stream, first);
      return socket ? [pump(socket, stream, sink)] : [];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
  return combine(pumps, sink);
}

function combine(pumps: Output[], sink: OutputSink): Output {
  return {
    done: Promise.all(pumps.map(({ done }) => done)).then(() => sink.end()),
    detach: () => pumps.forEach((pump) => pump.detach()),
  };
}

/** A sink that asks for time gets it: meanwhile the FIFO fills, and then the container waits. Nothing is dropped. */
function pump(socket: Socket, stream: 'stdout' | 'stderr', sink: OutputSink): Output {
  const done = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      const ready = sink.write(stream, chunk);
      if (!ready) return;
      socket.pause();
      void ready.finally(() => socket.resume());
    });
    socket.on('error', () => socket.destroy()); // a FIFO that cannot be read any more has ended
    socket.on('close', () => resolve());
  });
  return { done, detach: () => socket.destroy() };
}
