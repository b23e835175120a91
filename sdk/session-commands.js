/**
 * The commands of a session for a component: what the caller leaves out is filled in, and a refusal becomes the
 * component's `error`.
 *
 * @import {FollowedSession} from './followed-session.js'
 * @import {CommandAnswer, CompleteFields, PauseFields, ResumeFields, StartFields, SwitchFields} from './types.js'
 *
 * @typedef {object} SessionCommands
 * @property {Command<StartFields>} startSession
 * @property {Command<SwitchFields>} switchCycle Hands on; refused if the hook's participant is not active.
 * @property {Command<PauseFields>} pauseSession Where clocks run simultaneously, it is for the hook's participant.
 * @property {Command<ResumeFields>} resumeSession The same.
 * @property {Command<CompleteFields>} completeSession The same.
 */

/**
 * Resolves with the snapshot; with null if it was not done, and then `error` says why. An event as argument counts as
 * none, so that a command may be an `onClick`.
 *
 * @template F
 * @typedef {(fields?: F|{nativeEvent: unknown}) => Promise<CommandAnswer|null>} Command
 */

/**
 * @param {FollowedSession} followed
 * @param {string} [participantId]
 * @returns {SessionCommands}
 */
export function commandsOf(followed, participantId) {
  const current = () => (participantId ? { current_participant_id: participantId } : {});
  const own = () => (participantId && isSimultaneous(followed) ? { participant_id: participantId } : {});
  return {
    startSession: commandOf(followed, 'startSession', () => ({})),
    switchCycle: commandOf(followed, 'switchCycle', current),
    pauseSession: commandOf(followed, 'pauseSession', own),
    resumeSession: commandOf(followed, 'resumeSession', own),
    completeSession: commandOf(followed, 'completeSession', own),
  };
}

/**
 * @param {FollowedSession} followed
 * @param {keyof SessionCommands} method Of the client.
 * @param {() => object} defaults
 * @returns {Command<any>}
 */
function commandOf(followed, method, defaults) {
  return async (fields) => {
    const { client, sessionId } = followed;
    if (!client || !sessionId) return null;
    const given = fields && 'nativeEvent' in fields ? {} : fields;
    try {
      const answer = await client[method](sessionId, { ...defaults(), ...given });
      followed.fail(null);
      return answer;
    } catch (error) {
      followed.fail(error instanceof Error ? error : new Error(String(error)));
      return null;
    }
  };
}

/** @param {FollowedSession} followed */
function isSimultaneous({ view }) {
  return view.session?.concurrency === 'simultaneous';
}
