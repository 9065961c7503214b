import { posix } from 'node:path';
import {
  seccompRulesMax,
  type SeccompCondition,
  type SeccompProfile,
  type SeccompRule,
} from '../spec/seccomp.ts';
import { messageOf, ShoalError } from '../util/errors.ts';
import type { CanonicalModel } from './model.ts';
import type { ResolveContext } from './resolve.ts';
import { placeOf } from './tree.ts';

/** Docker's own default profile has 20 KiB. */
const profileBytesMax = 256 * 1024;

/** The path of the profile that a security option names; nothing for any other option. */
export function profilePath(option: string): string | undefined {
  const [, path] = /^seccomp[:=](.+)$/su.exec(option) ?? [];
  return path === 'unconfined' || path === 'builtin' ? undefined : path;
}

/** The seccomp profiles that services name, by service. What cannot be read is reported with this severity and left out. */
export async function seccompProfiles(
  model: CanonicalModel,
  { fileSystem, projectDirectory, tree, diagnostics }: ResolveContext,
  severity: 'error' | 'warning',
): Promise<Map<string, SeccompProfile>> {
  const profiles = new Map<string, SeccompProfile>();
  for (const key of Object.keys(model.services)) {
    const { security_opt: options } = model.services[key]!;
    for (const [index, option] of options?.entries() ?? []) {
      const path = profilePath(option);
      if (path === undefined) continue;
      try {
        const bytes = await fileSystem.readFile(posix.resolve(projectDirectory, path), profileBytesMax);
        profiles.set(key, parseProfile(Buffer.from(bytes).toString()));
      } catch (error) {
        if (!(error instanceof ShoalError)) throw error;
        const place = ['services', key, 'security_opt', index];
        const message = error.message.slice(0, 1).toLowerCase() + error.message.slice(1);
        diagnostics[severity](
          placeOf(tree, place),
          place,
          message,
          error.next ?? 'name a file that can be read',
        );
      }
    }
  }
  return profiles;
}

/** Reads a profile. Throws `invalid_argument` with what is wrong in it. */
export function parseProfile(text: string): SeccompProfile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw wrong(`it is no JSON: ${messageOf(error)}`);
  }
  const profile = mapOf(value, 'it');
  const rules = listOf(profile['syscalls'], 'syscalls');
  if (profile['listenerPath'] !== undefined) throw wrong('a listener is not supported');
  if (rules.length > seccompRulesMax) throw wrong(`it has more than ${seccompRulesMax} rules`);
  const { defaultErrnoRet, architectures, archMap, flags } = profile;
  return {
    defaultAction: action(profile['defaultAction'], 'defaultAction'),
    ...(given(defaultErrnoRet) && { defaultErrnoRet: number(defaultErrnoRet, 'defaultErrnoRet') }),
    ...(given(architectures) && { architectures: texts(architectures, 'architectures') }),
    ...(given(archMap) && {
      archMap: listOf(archMap, 'archMap').map((entry, index) => {
        const { architecture, subArchitectures } = mapOf(entry, `archMap[${index}]`);
        return {
          architecture: textOf(architecture, `archMap[${index}].architecture`),
          subArchitectures: given(subArchitectures)
            ? texts(subArchitectures, `archMap[${index}].subArchitectures`)
            : [],
        };
      }),
    }),
    ...(given(flags) && { flags: texts(flags, 'flags') }),
    syscalls: rules.map((rule, index) => ruleOf(rule, `syscalls[${index}]`)),
  };
}

function ruleOf(value: unknown, at: string): SeccompRule {
  const { name, names, errnoRet, args, includes, excludes, ...rest } = mapOf(value, at);
  return {
    names: given(name) ? [textOf(name, `${at}.name`)] : texts(names, `${at}.names`),
    action: action(rest['action'], `${at}.action`),
    ...(given(errnoRet) && { errnoRet: number(errnoRet, `${at}.errnoRet`) }),
    ...(given(args) && {
      args: listOf(args, `${at}.args`).map((entry, index) => {
        const place = `${at}.args[${index}]`;
        const arg = mapOf(entry, place);
        return {
          index: number(arg['index'], `${place}.index`),
          value: number(arg['value'], `${place}.value`),
          valueTwo: given(arg['valueTwo']) ? number(arg['valueTwo'], `${place}.valueTwo`) : 0,
          op: constant(
            arg['op'],
            /^SCMP_CMP_(?:NE|LT|LE|EQ|GE|GT|MASKED_EQ)$/u,
            `${place}.op`,
            'SCMP_CMP_EQ',
          ),
        };
      }),
    }),
    ...(given(includes) && { includes: conditionOf(includes, `${at}.includes`) }),
    ...(given(excludes) && { excludes: conditionOf(excludes, `${at}.excludes`) }),
  };
}

function conditionOf(value: unknown, at: string): SeccompCondition {
  const { caps, arches, minKernel } = mapOf(value, at);
  return {
    ...(given(caps) && { caps: texts(caps, `${at}.caps`) }),
    ...(given(arches) && { arches: texts(arches, `${at}.arches`) }),
    ...(given(minKernel) && {
      minKernel: constant(minKernel, /^\d{1,4}\.\d{1,4}$/u, `${at}.minKernel`, '4.8'),
    }),
  };
}

function given(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function action(value: unknown, at: string): string {
  return constant(
    value,
    /^SCMP_ACT_(?:KILL|KILL_PROCESS|KILL_THREAD|TRAP|ERRNO|TRACE|ALLOW|LOG)$/u,
    at,
    'SCMP_ACT_ERRNO',
  );
}

function constant(value: unknown, pattern: RegExp, at: string, example: string): string {
  if (typeof value === 'string' && pattern.test(value)) return value;
  throw wrong(`${at} must be a value such as ${example}`);
}

function number(value: unknown, at: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw wrong(`${at} must be a whole number`);
}

function textOf(value: unknown, at: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw wrong(`${at} must be a string`);
}

function texts(value: unknown, at: string): string[] {
  return listOf(value, at).map((entry, index) => textOf(entry, `${at}[${index}]`));
}

function listOf(value: unknown, at: string): unknown[] {
  if (Array.isArray(value)) return value as unknown[];
  throw wrong(`${at} must be a list`);
}

function mapOf(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw wrong(`${at} must be a map`);
}

function wrong(why: string): ShoalError {
  return new ShoalError('invalid_argument', `The seccomp profile cannot be used: ${why}`, {
    next: 'write it as Docker has its profiles',
  });
}
