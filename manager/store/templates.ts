import { createHash } from 'node:crypto';
import type { ObjectMeta } from '../../src/spec/object.ts';
import type { TaskTemplate } from '../../src/spec/service.ts';

/** A template of tasks, stored once however many tasks are made from it; its id follows from its content. */
export interface StoredTemplate extends ObjectMeta {
  template: TaskTemplate;
}

/** The ids of templates that were computed or read already. */
const known = new WeakMap<TaskTemplate, string>();

/** The id under which the template is stored. */
export function templateId(template: TaskTemplate): string {
  const id = known.get(template);
  if (id !== undefined) return id;
  const digest = createHash('sha256').update(JSON.stringify(template)).digest('base64url');
  known.set(template, digest);
  return digest;
}

/** The same for a template that the store gave out; undefined for one that it has not seen. */
export function storedTemplateId(template: TaskTemplate): string | undefined {
  return known.get(template);
}

/** The template was read under this id. */
export function noteTemplateId(template: TaskTemplate, id: string): void {
  known.set(template, id);
}
