import type { ErrorObject } from 'ajv';
import { ShoalError } from '../util/errors.ts';
import type { Attribute } from './attribute.ts';
import { plainOf } from './canonical.ts';
import { compiledFor, wholeAttribute } from './compile.ts';
import type { Diagnostics } from './diagnostic.ts';
import { describeNode } from './forms.ts';
import { refusedPart } from './quick-check.ts';
import { composeSchema } from './schema.ts';
import { lookalikeOf, suggest } from './suggest.ts';
import type { RawModel } from './normalise.ts';
import { locate, placeOf, type Plain, type TreeNode, type PathSegment } from './tree.ts';

/**
 * Checks a canonical tree against the schema and reports everything that is wrong, each with its place. Gives the plain
 * data with what was wrong taken out, so that the next checks can go on, and the entries
 * (`services.web`, `secrets.key`) in which something was. When there is too much wrong, only some is taken out.
 */
export async function validate(
  root: TreeNode,
  diagnostics: Diagnostics,
): Promise<{ plain: RawModel; faulty: Set<string>; isComplete: boolean }> {
  const plain = plainOf(root, composeSchema);
  const faulty = new Set<string>();
  const refused = refusedPart(plain, composeSchema);
  if (refused === undefined) return { plain: plain as RawModel, faulty, isComplete: true };
  const check = await compiledFor(refused.part);
  if (check(refused.part)) throw new ShoalError('internal', 'Cannot say what is wrong with the file');
  const seen = new Set<string>();
  const paths: PathSegment[][] = [];
  for (const error of check.errors ?? []) {
    if (error.keyword === 'propertyNames') continue; // the pattern that failed speaks for it
    const path = pathOf(error);
    const key = JSON.stringify(path);
    if (seen.has(key)) continue;
    seen.add(key);
    report(root, error, path, diagnostics);
    paths.push(error.keyword === 'required' ? path.slice(0, -1) : path);
  }
  for (const path of paths) takeOut(plain, path, faulty);
  return { plain: plain as RawModel, faulty, isComplete: refused.isComplete };
}

/**
 * Takes away what is wrong: the value under the last key of the path, or the whole list when the path goes through one.
 * What other errors on the way have taken away already is passed by.
 */
function takeOut(plain: Plain, path: readonly PathSegment[], faulty: Set<string>): void {
  const keys = path.map(String);
  faulty.add(keys.slice(0, 2).join('.'));
  let holder = plain as Record<string, Plain>;
  let doomed: { holder: Record<string, Plain>; key: string } | undefined;
  for (const key of keys) {
    if (!Object.hasOwn(holder, key)) return;
    doomed = { holder, key };
    const next = holder[key]!;
    if (next === null || typeof next !== 'object' || Array.isArray(next)) break;
    holder = next;
  }
  if (doomed === undefined) return;
  // An entry under services, networks, … stays, empty, so that nobody complains that it is not defined.
  if (keys.length > 1 && doomed.holder === (plain as Record<string, Plain>)[keys[0]!]) {
    doomed.holder[doomed.key] = Object.create(null) as Record<string, Plain>;
  } else delete doomed.holder[doomed.key];
}

/** The JSON pointer as a path, with the key it is about where that is not part of it. */
function pathOf(error: ErrorObject): PathSegment[] {
  const path: PathSegment[] = error.instancePath
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((segment) => (/^\d{1,9}$/u.test(segment) ? Number(segment) : segment));
  const params = error.params as { additionalProperty?: string; missingProperty?: string };
  const key = error.propertyName ?? params.additionalProperty ?? params.missingProperty;
  return key === undefined ? path : [...path, key];
}

function report(root: TreeNode, error: ErrorObject, path: PathSegment[], diagnostics: Diagnostics): void {
  const { node, keyAt, invalid } = locate(root, path);
  if (invalid) return;
  const shown = indexed(root, path);
  const attribute = wholeAttribute(error.parentSchema);
  const last = String(path.at(-1) ?? '');
  const properties = attribute.properties ?? {};
  if (error.keyword === 'additionalProperties') {
    const known = Object.keys(properties);
    const near = suggest(last, known);
    const hint = near === undefined ? unknownHint(known, attribute) : `did you mean ${near}?`;
    const odd = near === undefined ? undefined : lookalikeOf(last);
    const why = odd === undefined ? '' : `: its ${odd.character} only looks like ${odd.letter}`;
    diagnostics.error(keyAt ?? node.at, shown, `this key is not known${why}`, hint);
  } else if (error.keyword === 'required') {
    diagnostics.error(placeOf(root, path.slice(0, -1)), shown, 'this key is missing', `add ${last}`);
  } else if (error.propertyName !== undefined) {
    diagnostics.error(
      keyAt,
      shown,
      `${JSON.stringify(last)} cannot be used as a name here`,
      mustBe(attribute),
    );
  } else {
    diagnostics.error(
      placeOf(root, path),
      shown,
      `${describeNode(node)} cannot be used here`,
      quotedHint(node, attribute) ?? mustBe(attribute),
    );
  }
}

/** Digits as an index under a list and as a key under a map. */
function indexed(root: TreeNode, path: readonly PathSegment[]): PathSegment[] {
  return path.map((segment, index) =>
    locate(root, path.slice(0, index)).node.kind === 'list' ? Number(segment) : String(segment),
  );
}

function mustBe(attribute: Attribute): string {
  return attribute.says === undefined ? '' : `it must be ${attribute.says}`;
}

function quotedHint(node: TreeNode, attribute: Attribute): string | undefined {
  if (node.kind !== 'scalar' || attribute.type !== 'string' || attribute.enum !== undefined) return undefined;
  if (typeof node.value !== 'number' && typeof node.value !== 'boolean') return undefined;
  if (attribute.form === 'duration') return 'a duration needs its unit, such as 10s';
  return `write it in quotes, "${String(node.value)}", to make it a string`;
}

function unknownHint(known: readonly string[], { patternProperties }: Attribute): string {
  if (known.length === 0 || known.length > 16) return '';
  const names = patternProperties === undefined ? known.toSorted() : [...known.toSorted(), 'x-…'];
  return `known here are ${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
