"""Uses the client that openapi-python-client generates from the OpenAPI document: client.py URL KEY"""

import datetime
import sys
import time

from recount_client import AuthenticatedClient, models
from recount_client.api.catalog import (delete_event_type, delete_view, get_catalog, get_event_type, get_view,
                                        list_event_types, list_views, put_catalog, put_event_type, put_view)
from recount_client.api.dead_letters import get_dead_letter, list_dead_letters, replay_dead_letters
from recount_client.api.events import explain_event, get_receipt, list_events, send_events
from recount_client.api.jobs import list_jobs, run_job
from recount_client.api.publications import get_publication, list_publications, pin_publication
from recount_client.api.queries import changes, query, query_all, query_by_parameters, run_sql
from recount_client.api.server import health, metrics, openapi, ready
from recount_client.api.verification import get_audit, get_scores, verify

NAME = "python"
EVENTS = 100


def want(operation, status, answer):
    """Returns what an answer holds, or ends the program unless it has the status."""
    if answer.status_code != status:
        sys.exit(f"{operation}: status {answer.status_code}, {answer.content!r}")
    print(operation, status)
    return answer.parsed


def check(what, got, wanted):
    """Ends the program unless got is wanted."""
    if got != wanted:
        sys.exit(f"{what}: got {got}, want {wanted}")


def event(number, data):
    e = models.CloudEvent(id=str(number), source=NAME, type_="page.viewed",
                          time=datetime.datetime(2024, 5, 1, 10, tzinfo=datetime.timezone.utc),
                          data=models.CloudEventData.from_dict(data))
    e["traceid"] = "abc"
    return e


def declare(c):
    fields = models.EventTypeDeclarationFields()
    fields["page"] = "string"
    fields["delay"] = models.FieldSpecification(type_="int64", path=["delay", "ms"])
    want("putEventType", 201, put_event_type.sync_detailed(
        f"{NAME}.clicked", client=c, body=models.EventTypeDeclaration(fields=fields)))
    measures = models.ViewDeclarationMeasures()
    measures["clicks"] = models.MeasureDeclaration(count=models.MeasureDeclarationCount())
    measures["slowest"] = models.MeasureDeclaration(max_="delay")
    view = models.ViewDeclaration(event=f"{NAME}.clicked", dimensions=["page"], measures=measures, where=[
        models.ConditionDeclaration(field="delay", op=models.ConditionDeclarationOp.GE, value=0)])
    want("putView", 201, put_view.sync_detailed(f"{NAME}_clicks", client=c, body=view))
    shown = want("getView", 200, get_view.sync_detailed(f"{NAME}_clicks", client=c))
    check("measures", len(shown.measures), 2)
    want("listViews", 200, list_views.sync_detailed(client=c))
    want("getEventType", 200, get_event_type.sync_detailed(f"{NAME}.clicked", client=c))
    want("listEventTypes", 200, list_event_types.sync_detailed(client=c))
    declared = want("getCatalog", 200, get_catalog.sync_detailed(client=c))
    want("putCatalog", 200, put_catalog.sync_detailed(client=c, body=declared.declarations, dry_run=True))


def send(c):
    """Sends events and returns their receipt."""
    wrong = event(EVENTS, {"page": 7})
    refused = want("sendEvents", 400, send_events.sync_detailed(client=c, body=[wrong]))
    check("code", refused.code, models.ErrorCode.ALL_REJECTED)
    batch = [wrong] + [event(n, {"page": "/", "country": NAME, "milliseconds": n}) for n in range(EVENTS)]
    sent = want("sendEvents", 200, send_events.sync_detailed(client=c, body=batch))
    check("accepted", sent.accepted, EVENTS)
    check("rejected", [r.code for r in sent.rejected], ["invalid_field"])
    return sent.receipt


def publish(c, receipt):
    """Runs the job recompute until the events have landed and are published."""
    for tries in range(100):
        want("runJob", 200, run_job.sync_detailed("recompute", client=c))
        at = want("getReceipt", 200, get_receipt.sync_detailed(receipt, client=c))
        if all(p.state == models.ReceiptPlaceState.PUBLISHED for p in at.places):
            return
        time.sleep(0.1)
    sys.exit("the events were not published")


def views_of(mode):
    return models.Query(view="page_views", measures=["views"], group_by=["country"], mode=mode, where=[
        models.Condition(dimension="country", op=models.ConditionOp.EQ, value=NAME)])


def ask(c, receipt):
    """Waits for the events of receipt: an answer to their sending may come before they are counted."""
    views = views_of(models.QueryMode.MERGED)
    views.min_through = receipt
    answer = want("query", 200, query.sync_detailed(client=c, body=views))
    check("views", answer.rows[0]["views"], EVENTS)
    check("live", answer.rows[0].live["views"], EVENTS)


def ask_exactly(c):
    answer = want("query", 200, query.sync_detailed(client=c, body=views_of(models.QueryMode.EXACT)))
    check("exact views", answer.rows[0]["views"], EVENTS)
    check("exact", answer.accuracy.exact, True)
    got = want("queryByParameters", 200, query_by_parameters.sync_detailed(
        client=c, view="page_views", measures=["views", "slowest"], group_by=["country"], where=[f"country:eq:{NAME}"]))
    check("slowest", got.rows[0]["slowest"], EVENTS - 1)
    of_client = models.StatementParameters.from_dict({"c": NAME})
    rows = want("runSQL", 200, run_sql.sync_detailed(client=c, body=models.Statement(
        query="SELECT sum(views) AS views FROM page_views WHERE country = {c:String}", parameters=of_client)))
    check("SQL", rows["data"], [{"views": EVENTS}])
    refused = want("runSQL", 400, run_sql.sync_detailed(client=c, body=models.Statement(query="DROP TABLE page_views")))
    check("code", refused.code, models.ErrorCode.STATEMENT_REFUSED)
    unknown = want("query", 404, query.sync_detailed(client=c, body=models.Query(view="nothing")))
    check("code", unknown.code, models.ErrorCode.UNKNOWN_VIEW)
    both = want("queryAll", 200, query_all.sync_detailed(client=c, body=models.Queries(
        queries=[views_of(models.QueryMode.MERGED), models.Query(view="nothing")])))
    check("views of several", both.answers[0].rows[0]["views"], EVENTS)
    check("code", both.answers[1].problem.code, models.ErrorCode.UNKNOWN_VIEW)


def inspect(c):
    published = want("listPublications", 200, list_publications.sync_detailed(client=c))
    n = published.publications[0].n
    want("getPublication", 200, get_publication.sync_detailed(n, client=c, buckets=True))
    want("pinPublication", 200, pin_publication.sync_detailed(n, client=c))
    changed = want("changes", 200, changes.sync_detailed(
        client=c, view="page_views", from_publication=published.publications[-1].n, granularity="all",
        group_by=["country"], where=[f"country:eq:{NAME}"]))
    check("added", changed.summary.added, 1)
    stored = want("listEvents", 200, list_events.sync_detailed(
        client=c, type_="page.viewed", where=[f"country:eq:{NAME}"], limit=10))
    check("source", stored.events[0].event.source, NAME)
    found = want("explainEvent", 200, explain_event.sync_detailed("1", client=c, source=NAME))
    check("status", found.events[0].status, models.ExplainedEventStatus.COUNTED)
    letters = want("listDeadLetters", 200, list_dead_letters.sync_detailed(client=c))
    letter = letters.dead_letters[0].name
    want("getDeadLetter", 200, get_dead_letter.sync_detailed(letter, client=c))
    want("replayDeadLetters", 200, replay_dead_letters.sync_detailed(client=c, name=letter, dry_run=True))
    want("listJobs", 200, list_jobs.sync_detailed(client=c))
    want("runJob", 200, run_job.sync_detailed("audit", client=c))
    audit = want("getAudit", 200, get_audit.sync_detailed(client=c))
    check("residue", audit.residue, 0)
    want("runJob", 200, run_job.sync_detailed("score", client=c))
    want("getScores", 200, get_scores.sync_detailed(client=c))
    proof = verify.sync_detailed(client=c)
    want("verify", 200, proof)
    check("findings", b'"findings":[]' in proof.content, True)


def main(url, key):
    c = AuthenticatedClient(base_url=url, token=key, timeout=60)
    want("health", 200, health.sync_detailed(client=c))
    want("ready", 200, ready.sync_detailed(client=c))
    want("openapi", 200, openapi.sync_detailed(client=c))
    want("metrics", 200, metrics.sync_detailed(client=c))
    declare(c)
    receipt = send(c)
    ask(c, receipt)
    publish(c, receipt)
    ask_exactly(c)
    inspect(c)
    want("deleteView", 204, delete_view.sync_detailed(f"{NAME}_clicks", client=c))
    want("deleteEventType", 204, delete_event_type.sync_detailed(f"{NAME}.clicked", client=c))


main(*sys.argv[1:])
