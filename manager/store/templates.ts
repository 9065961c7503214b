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

/** What stands for templates that the store should have and does not. */
const missing = new WeakSet<TaskTemplate>();

/** Stands for the template of this id, so that the task that refers to it can still be told to vanish. */
export function missingTemplate(id: string): TaskTemplate {
  const template = {} as TaskTemplate;
  missing.add(template);
  noteTemplateId(template, id);
  return template;
}

/** Whether there is none, or it only stands for one that the store does not have. */
export function isMissingTemplate(template: TaskTemplate | null | undefined): boolean {
  return typeof template !== 'object' || template === null || missing.has(template);
}
