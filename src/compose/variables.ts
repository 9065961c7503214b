import { closingBrace, nameAt } from './template.ts';
import type { TreeNode } from './tree.ts';

/** A variable that a file names: what stands for it when it is not set, or when it is. */
export interface Variable {
  name: string;
  required: boolean;
  defaultValue: string;
  alternateValue: string;
}

const nestingMax = 50;

/** All variables that the values of the tree name, sorted; of one that is named in several ways the first that says more counts. */
export function variablesOf(root: TreeNode): Variable[] {
  const found = new Map<string, Variable>();
  const visit = (node: TreeNode): void => {
    if (node.kind === 'list') node.items.forEach(visit);
    else if (node.kind === 'map') for (const { value } of node.entries.values()) visit(value);
    else if (typeof node.value === 'string') collect(node.value, found, 0);
  };
  visit(root);
  return [...found.values()].toSorted((left, right) => (left.name < right.name ? -1 : 1));
}

function collect(text: string, found: Map<string, Variable>, depth: number): void {
  if (depth > nestingMax) return; // interpolation refuses it
  for (let at = text.indexOf('$'); at >= 0; at = text.indexOf('$', at)) {
    if (text[at + 1] === '$') {
      at += 2;
      continue;
    }
    const isBraced = text[at + 1] === '{';
    const name = nameAt(text, at + (isBraced ? 2 : 1));
    const after = at + (isBraced ? 2 : 1) + name.length;
    if (name === '') {
      at += 1;
      continue;
    }
    const end = isBraced ? closingBrace(text, at + 1) : after;
    if (end < 0) return;
    const [operator = ''] = isBraced ? (/^:?[-?+]/u.exec(text.slice(after, after + 2)) ?? []) : [];
    const body = text.slice(after + operator.length, end);
    note(found, name, operator.slice(-1), isBraced ? body : '');
    if (isBraced && operator !== '') collect(body, found, depth + 1);
    at = isBraced ? end + 1 : after;
  }
}

function note(found: Map<string, Variable>, name: string, operator: string, body: string): void {
  const known = found.get(name);
  found.set(name, {
    name,
    required: known?.required === true || operator === '?',
    defaultValue: known?.defaultValue || (operator === '-' ? body : ''),
    alternateValue: known?.alternateValue || (operator === '+' ? body : ''),
  });
}
