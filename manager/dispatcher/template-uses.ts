import type { TaskTemplate } from '../../src/spec/service.ts';
import { templateId } from '../store/templates.ts';
import { Fragment, type Increment } from './fragment.ts';

/** The assignment of each template: the store has one object of it for all tasks. */
const fragments = new WeakMap<TaskTemplate, Fragment>();

function fragmentOf(template: TaskTemplate): Fragment {
  const known = fragments.get(template);
  if (known !== undefined) return known;
  const fragment = new Fragment({ kind: 'template', value: { id: templateId(template), template } });
  fragments.set(template, fragment);
  return fragment;
}

/** The templates that the tasks told to one node refer to. Each is told once, whatever number of tasks refers to it. */
export class TemplateUses {
  /** Template ids by task. */
  readonly #ofTask = new Map<string, string>();
  /** Tasks that refer to each template; none that nobody does. */
  readonly #uses = new Map<string, number>();
  readonly #told = new Map<string, Fragment>();
  /** What may have to be told or removed, with the template where one is used. */
  readonly #touched = new Map<string, TaskTemplate | undefined>();

  /** What the node was told. */
  get told(): Iterable<Fragment> {
    return this.#told.values();
  }

  use(taskId: string, template: TaskTemplate): void {
    const id = templateId(template);
    if (this.#ofTask.get(taskId) === id) return;
    this.drop(taskId);
    this.#ofTask.set(taskId, id);
    this.#uses.set(id, (this.#uses.get(id) ?? 0) + 1);
    this.#touched.set(id, template);
  }

  drop(taskId: string): void {
    const id = this.#ofTask.get(taskId);
    if (id === undefined) return;
    this.#ofTask.delete(taskId);
    const uses = this.#uses.get(id)! - 1;
    if (uses > 0) this.#uses.set(id, uses);
    else this.#uses.delete(id);
    if (!this.#touched.has(id)) this.#touched.set(id, undefined);
  }

  /** Tells what has changed since the last time. */
  tell(increment?: Increment): void {
    for (const [id, template] of this.#touched) {
      const isUsed = this.#uses.has(id);
      if (isUsed === this.#told.has(id)) continue;
      if (isUsed) {
        const fragment = fragmentOf(template!);
        this.#told.set(id, fragment);
        increment?.put(fragment);
      } else {
        this.#told.delete(id);
        increment?.remove('template', id);
      }
    }
    this.#touched.clear();
  }
}
