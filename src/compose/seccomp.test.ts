import { describe, expect, it } from 'vitest';
import { messageOf } from '../util/errors.ts';
import { parseProfile } from './seccomp.ts';

const profile = (change: object) =>
  JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [], ...change });

it('a profile in Docker’s format keeps what decides, and nothing else', () => {
  const rule = {
    names: ['clone'],
    action: 'SCMP_ACT_ALLOW',
    comment: 'why',
    args: [{ index: 0, value: 2_114_060_288, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
    includes: { caps: ['CAP_SYS_ADMIN'], minKernel: '4.8' },
    excludes: { arches: ['s390', 's390x'] },
  };
  const archMap = [
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
    { architecture: 'SCMP_ARCH_RISCV64', subArchitectures: null },
  ];
  const { comment: _, ...kept } = rule;
  expect(parseProfile(profile({ defaultErrnoRet: 1, archMap, syscalls: [rule], x: 1 }))).toEqual({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    archMap: [archMap[0], { architecture: 'SCMP_ARCH_RISCV64', subArchitectures: [] }],
    syscalls: [kept],
  });
});

describe('what cannot be used is refused with its place:', () => {
  it.each([
    ['[]', 'it must be a map'],
    ['{', 'it is no JSON'],
    ['{}', 'syscalls must be a list'],
    [profile({ defaultAction: 'ALLOW' }), 'defaultAction must be a value such as SCMP_ACT_ERRNO'],
    [profile({ listenerPath: '/run/x' }), 'a listener is not supported'],
    [profile({ syscalls: [{ names: 'mkdir', action: 'SCMP_ACT_LOG' }] }), 'syscalls[0].names must be a list'],
    [profile({ syscalls: [{ name: 'a', action: 'SCMP_ACT_NOTIFY' }] }), 'syscalls[0].action must be'],
    [
      profile({ syscalls: [{ name: 'a', action: 'SCMP_ACT_LOG', args: [{ index: 0, value: 2 ** 60 }] }] }),
      'syscalls[0].args[0].value must be a whole number',
    ],
    [
      profile({ syscalls: [{ name: 'a', action: 'SCMP_ACT_LOG', includes: { minKernel: 'new' } }] }),
      'syscalls[0].includes.minKernel must be a value such as 4.8',
    ],
    [profile({ syscalls: Array.from({ length: 1001 }, () => ({})) }), 'more than 1000 rules'],
  ])('%.60s', (text, expected) => {
    let said = '';
    try {
      parseProfile(text);
    } catch (error) {
      said = messageOf(error);
    }
    expect(said).toContain(expected);
  });
});
