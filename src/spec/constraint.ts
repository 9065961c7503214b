import { ShoalError, unreachable } from '../util/errors.ts';
import { parseAddress, parseSubnet, subnetContains } from './address.ts';
import type { Node } from './node.ts';

/** What a constraint can ask about. The two kinds of label carry the label's own name beside it. */
const plainSubjects = [
  'node.id',
  'node.hostname',
  'node.ip',
  'node.role',
  'node.platform.os',
  'node.platform.arch',
] as const;

const labelSubjects = ['node.labels', 'engine.labels'] as const;

type PlainSubject = (typeof plainSubjects)[number];
type LabelSubject = (typeof labelSubjects)[number];

/** One placement constraint. Only `subject`s with labels have a `label`. */
export type Constraint =
  | { subject: PlainSubject; operator: '==' | '!='; value: string }
  | { subject: LabelSubject; label: string; operator: '==' | '!='; value: string };

/** Longer expressions are refused: nobody writes them by hand. */
const constraintCharactersMax = 1024;

/** Names of processor architectures that mean the same, by the name Go and OCI images use. */
const architectureNames: Record<string, string> = {
  x64: 'amd64',
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  armv8: 'arm64',
  ia32: '386',
  i386: '386',
  i686: '386',
  armv7l: 'arm',
  armhf: 'arm',
};

/**
 * Reads `node.labels.disk == ssd` and its kin (Swarm's constraint language): a subject, `==` or `!=`, a value.
 * Subjects are `node.id`, `node.hostname`, `node.ip` (an address or a subnet), `node.role`, `node.platform.os`,
 * `node.platform.arch`, `node.labels.KEY` and `engine.labels.KEY`. Throws `invalid_argument` with what would be right.
 */
export function parseConstraint(text: string): Constraint {
  if (text.length > constraintCharactersMax) throw refused(text, 'it is too long', undefined);
  const matched = /^\s*([^\s=!]+)\s*(==|!=)(.*)$/su.exec(text);
  const [, left = '', operator, right = ''] = matched ?? [];
  const value = right.trim();
  if (operator !== '==' && operator !== '!=') {
    throw refused(text, 'it has no == or !=', 'Write SUBJECT == VALUE or SUBJECT != VALUE.');
  }
  if (value === '') throw refused(text, `nothing follows ${operator}`, `Write a value after ${operator}.`);
  // eslint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  if (/[\u0000-\u001f\u007f]/u.test(value))
    throw refused(text, 'its value has control characters', undefined);
  return readSubject(text, left, operator, value);
}

function readSubject(text: string, left: string, operator: '==' | '!=', value: string): Constraint {
  const lower = left.toLowerCase();
  const plain = plainSubjects.find((subject) => subject === lower);
  if (plain !== undefined) return checkedPlain(text, { subject: plain, operator, value });
  for (const subject of labelSubjects) {
    if (!lower.startsWith(`${subject}.`)) continue;
    const label = left.slice(subject.length + 1);
    if (!/^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/u.test(label)) {
      throw refused(
        text,
        `${JSON.stringify(label)} is not the name of a label`,
        `Write ${subject}.KEY ${operator} ${value}.`,
      );
    }
    return { subject, label, operator, value };
  }
  throw refused(
    text,
    `it asks about ${JSON.stringify(left)}`,
    `It may ask about ${plainSubjects.join(', ')}, node.labels.KEY or engine.labels.KEY.`,
  );
}

function checkedPlain(text: string, constraint: Constraint & { subject: PlainSubject }): Constraint {
  const { subject, value } = constraint;
  if (subject === 'node.role' && !/^(manager|worker)$/iu.test(value)) {
    throw refused(text, `${JSON.stringify(value)} is not a role`, 'A role is manager or worker.');
  }
  if (subject === 'node.ip' && readSubnet(value) === undefined) {
    throw refused(
      text,
      `${JSON.stringify(value)} is not an address`,
      'Write an IPv4 address or a subnet, such as 10.0.0.0/8.',
    );
  }
  return constraint;
}

function refused(text: string, why: string, next: string | undefined): ShoalError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return new ShoalError(
    'invalid_argument',
    `Cannot read the placement constraint ${JSON.stringify(shown)}: ${why}`,
    next === undefined ? {} : { next },
  );
}

function readSubnet(text: string): ReturnType<typeof parseSubnet> | undefined {
  try {
    return parseSubnet(text.includes('/') ? text : `${text}/32`);
  } catch (error) {
    if (error instanceof ShoalError) return undefined;
    throw error;
  }
}

/**
 * Whether the node is one that the constraint allows. Values are compared without regard to case, names of labels with
 * it; a label that a node lacks is the empty string, so `!=` holds and `==` does not (SwarmKit's rules). A node that has
 * not described itself yet has an empty hostname, address and platform.
 */
export function nodeSatisfies(node: Node, constraint: Constraint): boolean {
  return matches(node, constraint) === (constraint.operator === '==');
}

function matches(node: Node, constraint: Constraint): boolean {
  const { description } = node;
  const { value } = constraint;
  switch (constraint.subject) {
    case 'node.id':
      return same(node.id, value);
    case 'node.hostname':
      return same(description?.hostname, value);
    case 'node.ip':
      return addressMatches(description?.address, value);
    case 'node.role':
      return same(node.role, value);
    case 'node.platform.os':
      return same(description?.os, value);
    case 'node.platform.arch':
      return same(architectureOf(description?.architecture ?? ''), architectureOf(value));
    case 'node.labels':
      return same(ownValue(node.labels, constraint.label), value);
    case 'engine.labels':
      return same(ownValue(description?.engine.labels ?? {}, constraint.label), value);
    default:
      return unreachable(constraint);
  }
}

function same(left: string | undefined, right: string): boolean {
  return (left ?? '').toLowerCase() === right.toLowerCase();
}

function ownValue(labels: Record<string, string>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function architectureOf(name: string): string {
  const lower = name.toLowerCase();
  return ownValue(architectureNames, lower) ?? lower;
}

function addressMatches(address: string | undefined, value: string): boolean {
  const wanted = readSubnet(value);
  if (wanted === undefined || address === undefined || readSubnet(address) === undefined) return false;
  return subnetContains(wanted, parseAddress(address));
}

/** The constraint in its plainest form, `node.labels.disk == ssd`; parsing that gives the same constraint. */
export function describeConstraint(constraint: Constraint): string {
  const subject =
    constraint.subject === 'node.labels' || constraint.subject === 'engine.labels'
      ? `${constraint.subject}.${constraint.label}`
      : constraint.subject;
  return `${subject} ${constraint.operator} ${constraint.value}`;
}
