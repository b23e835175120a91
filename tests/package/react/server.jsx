/** The same parts rendered by a server: their HTML, and what the process is still busy with afterwards. */

import { renderToString } from 'react-dom/server';
import { SyncKairosClient } from '../../../sdk/index.js';
import { App } from './app.jsx';

const client = new SyncKairosClient('http://127.0.0.1:1');
const parts = ['clock', 'second', 'silent', 'now', 'time'];
const before = process.getActiveResourcesInfo().length;
const html = [client, undefined].map((one) => renderToString(<App client={one} id="s" parts={parts} />));
const left = process.getActiveResourcesInfo().length - before;
process.stdout.write(JSON.stringify({ html, left }));
