import type { Healthcheck } from '../../src/spec/service.ts';
import type { ContainerSettings } from '../../src/spec/settings.ts';

export interface ImageConfig {
  entrypoint: string[];
  command: string[];
  environment: string[];
  workingDirectory: string;
  user: string;
  exposedPorts: string[];
  /** Paths that want an anonymous volume. */
  volumes: string[];
  stopSignal?: string;
  healthcheck?: Healthcheck;
  labels: Record<string, string>;
}

export interface Image {
  reference: string;
  /** Manifest digest for this platform. */
  digest: string;
  config: ImageConfig;
  /** When it came from the registry last, ms since the epoch; absent when that is not known. */
  pulledAt?: number;
}

export interface PullProgress {
  doneBytes: number;
  totalBytes: number;
  phase: 'resolving' | 'downloading' | 'unpacking' | 'done';
  /** Why the registry is being asked again. */
  trouble?: string;
}

/** A mount as the OCI runtime wants it. */
export interface RuntimeMount {
  source: string;
  target: string;
  type: 'bind' | 'tmpfs';
  options: string[];
}

/** What an image holds, at a path of a container. */
export interface ImageMount {
  image: Image;
  target: string;
  subpath?: string;
}

/** Everything needed to make one container; already merged from template and image by the worker. */
export interface ContainerCreate {
  id: string;
  image: Image;
  args: string[];
  environment: string[];
  workingDirectory: string;
  user: string;
  hostname: string;
  labels: Record<string, string>;
  mounts: RuntimeMount[];
  /** Images, read-only; of each the whole, or a folder or file. */
  imageMounts?: ImageMount[];
  /** A prepared network namespace; absent: the container gets an empty one of its own. */
  networkNamespace?: string;
  /** Running containers whose namespaces it joins. */
  join?: JoinedContainers;
  limits: { nanoCpus?: number; memoryBytes?: number; pids?: number };
  reservations: { nanoCpus?: number; memoryBytes?: number };
  tty: boolean;
  /** Containers with the same group share shim processes, a few each. */
  group: string;
  /** Of these `tty` and `uts: host`'s hostname are decided already. */
  settings?: ContainerSettings;
}

/** Ids of containers, by the namespace of theirs that another one joins. */
export interface JoinedContainers {
  network?: string;
  ipc?: string;
  pid?: string;
}

/** `unknown`: what looks after it does not answer now. That says nothing of the container, which most likely runs. */
export type ContainerState = 'created' | 'running' | 'stopped' | 'unknown';

export interface ContainerInfo {
  id: string;
  labels: Record<string, string>;
  state: ContainerState;
  pid?: number;
  exitCode?: number;
  /** Whether a stopped one was killed for want of memory. */
  outOfMemory?: boolean;
}

export interface ContainerExit {
  id: string;
  exitCode: number;
  /** ms since the epoch */
  at: number;
  outOfMemory: boolean;
}

export interface ExecRequest {
  command: string[];
  tty: boolean;
  environment: string[];
  user?: string;
  workingDirectory?: string;
  /** With all that the host has to give. */
  privileged?: boolean;
  size?: { columns: number; rows: number };
  /** Ends the process, and what it has started, with SIGKILL after this long. */
  timeoutMs?: number;
  /** Who wants it: checks and hooks come before commands of people. @default command */
  purpose?: 'check' | 'command';
  /** Whether standard input is wanted. */
  stdin: boolean;
}

export interface ExecSession {
  stdin?: NodeJS.WritableStream;
  stdout: NodeJS.ReadableStream;
  /** Absent with a terminal: everything comes on stdout. */
  stderr?: NodeJS.ReadableStream;
  resize(columns: number, rows: number): Promise<void>;
  /** Resolves when the process has ended and its output has been read; frees what it held. */
  exit: Promise<{ exitCode: number }>;
  /** Sends the signal to the process and to what it has started in its session. */
  kill(signal: number): Promise<void>;
}

export interface EngineFeatures {
  /** Names that `ContainerSettings.runtime` may have here. */
  runtimes: string[];
  /** Devices by full name, `vendor.com/class=name`. */
  cdiDevices: string[];
}

/** One line of a container's output as it is kept. */
export interface OutputSink {
  /** Raw bytes as the container wrote them. A sink that needs time gives a promise; nothing more is read before it resolves. */
  write(stream: 'stdout' | 'stderr', chunk: Buffer): void | Promise<void>;
  /** Nothing more comes. Resolves once everything is where it belongs. */
  end(): void | Promise<void>;
}

/**
 * The local container engine. Containers belong to the engine, not to this process: they live on when it ends, and `list`
 * finds them again. Errors: `image_not_found`, `image_invalid`, `command_not_found`, `engine_failed`, `unavailable`,
 * `deadline_exceeded` when a shim or the engine does not answer, which says nothing of the container, and
 * `namespace_gone`, with its id as `details`, when a container whose namespaces are to be joined does not run.
 */
export interface Engine {
  info(): Promise<{ name: string; version: string }>;
  /** What this host has that others may lack. */
  features(): Promise<EngineFeatures>;
  /** The image if it is here already, complete and unpacked. */
  image(reference: string): Promise<Image | undefined>;
  pull(
    reference: string,
    options: { onProgress?: (progress: PullProgress) => void; signal?: AbortSignal },
  ): Promise<Image>;
  /**
   * Copies what the image holds in the folder `path` into the empty folder `destination`, owners and modes included, also
   * those of the folder itself. Nothing when the image has no such folder.
   */
  copyImageContent(image: Image, path: string, destination: string): Promise<void>;
  /** Makes snapshot, container and (not yet started) process. On failure nothing stays behind. `output` gets what it prints. */
  create(container: ContainerCreate, output: OutputSink): Promise<void>;
  start(id: string): Promise<{ pid: number }>;
  /** Resolves when the started process has ended, at once if it has already. */
  wait(id: string, signal: AbortSignal): Promise<{ exitCode: number }>;
  /** Signal by number. A process that has ended already is no error. */
  kill(id: string, signal: number): Promise<void>;
  /** Removes process, container and snapshot, whatever state they are in; no error when there is nothing. */
  remove(id: string): Promise<void>;
  list(): Promise<ContainerInfo[]>;
  /** Takes up the output of a container that an earlier process of ours made. */
  reattach(id: string, output: OutputSink): Promise<void>;
  /** `resource_exhausted` when so many commands run in it and beside it that no place came free. */
  exec(id: string, request: ExecRequest): Promise<ExecSession>;
  /** Every exit from the moment of the call. When the engine goes away the iteration throws `unavailable`; list, and call again. */
  exits(signal: AbortSignal): AsyncIterable<ContainerExit>;
  /**
   * Removes images that neither a container nor any of `keep` (references) uses and that were not used for `unusedMs`.
   * Gives their names. Does nothing while an image is being pulled.
   */
  removeUnusedImages(options: { keep: Iterable<string>; unusedMs: number }): Promise<string[]>;
  /** Lets go of the engine; containers live on. */
  close(): Promise<void>;
}
