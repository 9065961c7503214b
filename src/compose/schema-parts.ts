import { fileMode, object, text } from './attribute.ts';
import type { Attribute } from './attribute.ts';

/** What several attributes are made of. */

/** One text or a list of texts, joined with an earlier file's without identical entries. */
export function texts(says: string, item: Attribute = text): Attribute {
  return { type: 'array', form: 'texts', items: item, says };
}

export function patterned(pattern: string, says: string): Attribute {
  return { type: 'string', pattern, says };
}

/** Options of something that is not ours: names to texts. */
export const options: Attribute = {
  type: 'object',
  form: 'textValues',
  additionalProperties: { type: 'string', says: 'a string, a number, true or false' },
  says: 'a map of options',
};

export const driverOptions: Attribute = {
  ...options,
  form: 'numberTexts',
  additionalProperties: { type: 'string', says: 'a string or a number' },
};

export const hostPath: Attribute = { ...text, form: 'projectPath', says: 'the path of a file or folder' };

export const address: Attribute = { type: 'string', is: 'address', says: 'an IP address' };

export const macAddress = patterned(
  '^[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}$',
  'a MAC address such as 02:42:ac:11:65:43',
);

const numberText: Attribute = {
  type: 'string',
  form: 'numericText',
  pattern: '^\\d{1,9}$',
  says: 'a number in quotes, such as "103"',
};

const containerFile: Attribute = {
  type: 'string',
  is: 'fileName',
  says: 'the path of a file in the container',
};

/** Secrets or configs that a service, or the build of its image, is given as files. */
export function fileReferences(form: 'secrets' | 'configs'): Attribute {
  const reference = object(
    { source: text, target: containerFile, uid: numberText, gid: numberText, mode: fileMode },
    { required: ['source'] },
  );
  return {
    type: 'array',
    form,
    items: reference,
    merge: { by: form === 'secrets' ? 'secret' : 'config' },
    says: `a list of names or of maps with source and target`,
  };
}

const limit: Attribute = {
  type: 'integer',
  form: 'integer',
  minimum: -1,
  says: 'a whole number, or -1 for no limit',
};

/** Limits of a process, by name (getrlimit(2)). */
export const ulimits: Attribute = {
  type: 'object',
  says: 'a map of limit to a number, or to soft and hard',
  propertyNames: {
    pattern:
      '^(?:as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)$',
    says: 'a limit such as nofile, nproc, memlock or core',
  },
  additionalProperties: {
    ...limit,
    ...object({ soft: limit, hard: limit }, { required: ['soft', 'hard'], merge: 'replace' }),
    type: ['integer', 'object'],
    says: 'a whole number, -1 for no limit, or a map of soft and hard',
  },
};

export const extraHosts: Attribute = {
  type: 'array',
  form: 'extraHosts',
  items: { type: 'string', is: 'extraHost', says: 'NAME=ADDRESS, or NAME=host-gateway' },
  says: 'a list of NAME=ADDRESS or a map of name to address',
};
