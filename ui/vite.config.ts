import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

/** `npm run dev` shows a running server's data: the one that `make run` starts, or TOCSIN_URL. */
const server = process.env['TOCSIN_URL'] ?? 'http://127.0.0.1:8627'

// The server takes changes only from its own origin.
const proxied = { target: server, changeOrigin: true, ws: true, headers: { origin: server } }

export default defineConfig({
  base: './',
  plugins: [svelte()],
  build: {
    outDir: '../src/tocsin/api/static',
    emptyOutDir: true,
    target: 'es2023',
    // light-dark() and nesting are understood since these.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
  },
  server: { proxy: { '/api': proxied, '/ws': proxied, '/metrics': proxied } },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
})
