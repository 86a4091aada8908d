import { Card, CodeBlock, Empty } from "./components";

/** NoViews says how to count the first event. */
export function NoViews() {
  const example = `curl -s ${location.origin}/v1/events -H 'Content-Type: application/json' -d '
{"id":"1","type":"page.viewed","data":{"page":"/","user":"ann"}}'`;
  return (
    <Card>
      <Empty title="Nothing is counted yet">
        <p>The first event of a type declares it, and a view that counts it by minute. Send one:</p>
        <CodeBlock text={example} />
      </Empty>
    </Card>
  );
}
