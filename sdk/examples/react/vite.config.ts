import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  // The page and the API then have one origin, as in most deployments behind a proxy.
  server: { proxy: { '/v1': { target: 'http://localhost:8080', ws: true } } },
});
