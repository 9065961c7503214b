import { KeyedQueue } from '../../src/util/queue.ts';
import { StreamCounter, type ApiContext } from '../api/context.ts';
import { ApplicationFeeds } from '../api/feeds.ts';
import { allRoutes, allUpgrades } from '../api/routes.ts';
import { notLeading, type Table } from '../api/site.ts';
import { createLogHub } from '../logs/hub.ts';
import type { Database } from '../store/objects.ts';

type FollowingParts = Pick<
  ApiContext,
  'database' | 'clock' | 'random' | 'log' | 'audit' | 'addresses' | 'leader'
>;

/**
 * What a manager answers that does not lead: the routes that read its view. The others are there for what they say of themselves;
 * whatever they would do is refused with `unavailable`.
 */
export function followingTable(parts: FollowingParts): Table {
  const context = followingContext(parts);
  return { routes: allRoutes(context), upgrades: allUpgrades(context) };
}

function followingContext(parts: FollowingParts): ApiContext {
  const { clock } = parts;
  const refuse = () => {
    throw notLeading();
  };
  const refuseLater = () => Promise.reject(notLeading());
  const agents = {
    openStream: refuseLater,
    admitSession: refuse,
    acceptSession: refuse,
    expectsStream: refuse,
    acceptStream: refuse,
  };
  const database: Database = {
    view: parts.database.view,
    onChange: (callback) => parts.database.onChange(callback),
    write: refuseLater,
    writeEach: refuseLater,
  };
  return {
    ...parts,
    database,
    agents,
    joiner: { join: refuseLater, renew: refuseLater },
    administrators: { create: refuseLater, remove: refuseLater },
    queue: new KeyedQueue(),
    streams: new StreamCounter(),
    logStreams: new StreamCounter(),
    logs: createLogHub({ database, clock, agents }),
    feeds: new ApplicationFeeds({ database, clock }),
  };
}
