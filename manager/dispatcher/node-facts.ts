import { isTerminal, type Task } from '../../src/spec/task.ts';
import type { View } from '../store/objects.ts';
import { isForAgent, mayWait, sameTask, taskAssignment } from './assignments.ts';
import { Fragment, type Increment } from './fragment.ts';
import { TemplateUses } from './template-uses.ts';

/** The secrets and configs that there are, by `KIND/NAME`. */
export type Files = ReadonlyMap<string, Fragment>;

/** `secret/NAME` and `config/NAME` of all files of the task. */
export function fileKeysOf({ template }: Task): string[] {
  const { secrets, configs } = template.container;
  if (secrets.length + configs.length === 0) return [];
  return [...secrets.map(({ name }) => `secret/${name}`), ...configs.map(({ name }) => `config/${name}`)];
}

/** What is told to one node alone: its tasks, their templates and their files; and which networks it is part of. */
export class NodeFacts {
  readonly id: string;
  /** Where frames for it go. */
  address: string | undefined;
  isDown = false;
  /** Networks that it has been told of. */
  readonly networks = new Set<string>();
  /** Live tasks on each network. */
  readonly live = new Map<string, number>();
  readonly tasks = new Map<string, Fragment>();
  readonly templates = new TemplateUses();
  readonly files = new Map<string, Fragment>();
  /** Tasks that are held back until their networks have a place here. */
  readonly waiting = new Set<string>();
  /** Tasks that were told and have files. */
  readonly #fileTasks = new Map<string, string[]>();

  constructor(id: string) {
    this.id = id;
  }

  /** A live task more, or one less, on the network. */
  count(networkId: string, sign: 1 | -1): void {
    const count = (this.live.get(networkId) ?? 0) + sign;
    if (count > 0) this.live.set(networkId, count);
    else this.live.delete(networkId);
  }

  /** Brings one task to what it shall be here; gives whether its files may be others now. */
  tellTask(id: string, view: View, drained: ReadonlySet<string>, increment?: Increment): boolean {
    const task = view.tasks.get(id);
    const before = this.tasks.get(id);
    const isHere = task?.nodeId === this.id && isForAgent(task);
    const waits =
      isHere && mayWait(task) && !task.attachments.every(({ networkId }) => this.networks.has(networkId));
    if (waits) this.waiting.add(id);
    else this.waiting.delete(id);
    if (!isHere || waits) {
      this.tasks.delete(id);
      this.templates.drop(id);
      if (before !== undefined) increment?.remove('task', id);
      return this.#fileTasks.delete(id);
    }
    const value = taskAssignment(task, view, drained);
    const after = new Fragment({ kind: 'task', value });
    this.tasks.set(id, after);
    this.templates.use(id, task.template);
    if (before?.put.kind !== 'task' || !sameTask(before.put.value, value)) increment?.put(after);
    const keys = isTerminal(task.status.state) ? [] : fileKeysOf(task);
    if (keys.length === 0) return this.#fileTasks.delete(id);
    this.#fileTasks.set(id, keys);
    return true;
  }

  /** Brings the files to what the tasks need. A file of one id never changes. */
  tellFiles(files: Files, increment?: Increment): void {
    const needed = new Map<string, Fragment>();
    for (const keys of this.#fileTasks.values()) {
      for (const key of keys) {
        const file = files.get(key);
        if (file !== undefined) needed.set(file.key, file);
      }
    }
    for (const [key, file] of this.files) {
      if (needed.has(key)) continue;
      this.files.delete(key);
      increment?.remove(file.put.kind, file.put.value.id);
    }
    for (const [key, file] of needed) {
      if (!this.files.has(key)) increment?.put(file);
      this.files.set(key, file);
    }
  }
}
