import { afterAll, beforeAll } from 'vitest';
import { describeStore } from '../../manager/store/contract.ts';
import { openEtcdStore } from '../../manager/store/etcd/etcd.ts';
import { systemClock } from '../../src/util/clock.ts';
import { systemRandom } from '../../src/util/random.ts';
import { EtcdCluster } from '../harness/etcd.ts';

const statusMs = 5_000;
let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await EtcdCluster.start(3);
});
afterAll(() => cluster.down());

describeStore('etcd', async () => {
  const leader = await cluster.leader();
  const store = await openEtcdStore({
    endpoints: cluster.endpointsFrom(leader),
    tls: cluster.tls,
    clock: systemClock,
    prefix: `${systemRandom.id()}/`,
    owner: 'test',
  });
  const compact = async () => {
    const member = cluster.member(leader);
    const { header } = await member.call('KV.Range', { key: Buffer.from('none') }, statusMs);
    await member.call('KV.Compact', { revision: Number(header.revision) }, statusMs);
    member.close();
  };
  return { store, compact, dispose: () => store.close() };
});
