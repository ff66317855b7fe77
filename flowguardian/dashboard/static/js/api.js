// Talking to the dashboard's own server. Rule: one stream of news, and questions that are each asked once.

let csrf = "";

export async function hello() {
  const found = await ask("/api/hello");
  csrf = found.csrf;
  return found;
}

export async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error?.what ?? `${answer.status} ${answer.statusText}`);
  return body;
}

export async function send(command) {
  const answer = await fetch("/api/command", {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": csrf },
    body: JSON.stringify({ command }),
  });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error?.what ?? `${answer.status} ${answer.statusText}`);
  return body;
}

// The browser connects again by itself; `onState` says how it stands.
export function listen(onNews, onState) {
  const source = new EventSource("/api/events");
  source.onopen = () => onState("connected");
  source.onerror = () => {
    onState("lost");
    // A refused stream (no place left, a restarted server) is closed for good: ask again later.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(onNews, onState), 3000);
  };
  source.onmessage = (message) => onNews(JSON.parse(message.data));
}
