import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.ApiResponse;
import org.openapitools.client.api.CatalogApi;
import org.openapitools.client.api.DeadLettersApi;
import org.openapitools.client.api.EventsApi;
import org.openapitools.client.api.JobsApi;
import org.openapitools.client.api.PublicationsApi;
import org.openapitools.client.api.QueriesApi;
import org.openapitools.client.api.ServerApi;
import org.openapitools.client.api.VerificationApi;
import org.openapitools.client.model.*;

/** Uses the client that openapi-generator generates from the OpenAPI document: Client URL KEY. */
public final class Client {
  private static final String NAME = "java";
  private static final int EVENTS = 100;

  /** A call of the generated client. */
  private interface Call<T> {
    ApiResponse<T> send() throws ApiException;
  }

  private final CatalogApi catalog;
  private final DeadLettersApi deadLetters;
  private final EventsApi events;
  private final JobsApi jobs;
  private final PublicationsApi publications;
  private final QueriesApi queries;
  private final ServerApi server;
  private final VerificationApi verification;

  private Client(String url, String key) {
    ApiClient client = new ApiClient();
    client.setBasePath(url);
    client.setBearerToken(key);
    client.setReadTimeout(60_000);
    catalog = new CatalogApi(client);
    deadLetters = new DeadLettersApi(client);
    events = new EventsApi(client);
    jobs = new JobsApi(client);
    publications = new PublicationsApi(client);
    queries = new QueriesApi(client);
    server = new ServerApi(client);
    verification = new VerificationApi(client);
  }

  /** Returns what an answer holds. It throws unless the answer has the status. */
  private static <T> T want(String operation, int status, Call<T> call) throws ApiException {
    ApiResponse<T> answer = call.send();
    check(operation, answer.getStatusCode(), status);
    System.out.println(operation + " " + status);
    return answer.getData();
  }

  /** Expects a refusal with a status and a code. */
  private static <T> void refused(String operation, int status, String code, Call<T> call) {
    try {
      call.send();
    } catch (ApiException e) {
      check(operation, e.getCode(), status);
      check("code", e.getResponseBody().contains("\"code\":\"" + code + "\""), true);
      System.out.println(operation + " " + status);
      return;
    }
    throw new IllegalStateException(operation + " was not refused");
  }

  private static void check(String what, Object got, Object want) {
    if (!String.valueOf(got).equals(String.valueOf(want))) {
      throw new IllegalStateException(what + ": got " + got + ", want " + want);
    }
  }

  private static CloudEvent event(int id, Map<String, Object> data) {
    return new CloudEvent().id("" + id).source(NAME).type("page.viewed")
        .time(OffsetDateTime.parse("2024-05-01T10:00:00Z")).data(data).putAdditionalProperty("traceid", "abc");
  }

  private void declare() throws ApiException {
    FieldSpecification delay = new FieldSpecification().type("int64").path(List.of("delay", "ms"));
    EventTypeDeclaration type = new EventTypeDeclaration()
        .putFieldsItem("page", new FieldDeclaration("string")).putFieldsItem("delay", new FieldDeclaration(delay));
    want("putEventType", 201, () -> catalog.putEventTypeWithHttpInfo(NAME + ".clicked", type, null, null, null));
    ViewDeclaration view = new ViewDeclaration().event(NAME + ".clicked").dimensions(List.of("page"))
        .addWhereItem(new ConditionDeclaration().field("delay").op(ConditionDeclaration.OpEnum.GE).value(0))
        .putMeasuresItem("clicks", new MeasureDeclaration().count(Map.of()))
        .putMeasuresItem("slowest", new MeasureDeclaration().max("delay"));
    want("putView", 201, () -> catalog.putViewWithHttpInfo(NAME + "_clicks", view, null, null, null));
    View shown = want("getView", 200, () -> catalog.getViewWithHttpInfo(NAME + "_clicks"));
    check("measures", shown.getMeasures().size(), 2);
    want("listViews", 200, () -> catalog.listViewsWithHttpInfo());
    want("getEventType", 200, () -> catalog.getEventTypeWithHttpInfo(NAME + ".clicked"));
    want("listEventTypes", 200, () -> catalog.listEventTypesWithHttpInfo());
    Catalog declared = want("getCatalog", 200, () -> catalog.getCatalogWithHttpInfo());
    want("putCatalog", 200, () -> catalog.putCatalogWithHttpInfo(declared.getDeclarations(), true));
  }

  /** Sends events and returns their receipt. */
  private String send() throws ApiException {
    List<CloudEvent> batch = new ArrayList<>();
    batch.add(event(EVENTS, Map.of("page", 7)));
    refused("sendEvents", 400, "all_rejected", () -> events.sendEventsWithHttpInfo(batch));
    for (int id = 0; id < EVENTS; id++) {
      batch.add(event(id, Map.of("page", "/", "country", NAME, "milliseconds", id)));
    }
    Accepted sent = want("sendEvents", 200, () -> events.sendEventsWithHttpInfo(batch));
    check("accepted", sent.getAccepted(), EVENTS);
    check("rejected", sent.getRejected().get(0).getCode(), "invalid_field");
    return sent.getReceipt();
  }

  /** Runs the job recompute until the events have landed and are published. */
  private void publish(String receipt) throws ApiException, InterruptedException {
    for (int tries = 0; tries < 100; tries++) {
      want("runJob", 200, () -> jobs.runJobWithHttpInfo("recompute"));
      Receipt at = want("getReceipt", 200, () -> events.getReceiptWithHttpInfo(receipt));
      if (at.getPlaces().stream().allMatch(p -> p.getState() == ReceiptPlace.StateEnum.PUBLISHED)) {
        return;
      }
      Thread.sleep(100);
    }
    throw new IllegalStateException("the events were not published");
  }

  /** Waits for the events of receipt: an answer to their sending may come before they are counted. */
  private Row ask(Query.ModeEnum mode, String receipt) throws ApiException {
    Query query = new Query().view("page_views").measures(List.of("views")).groupBy(List.of("country")).mode(mode).minThrough(receipt)
        .addWhereItem(new Condition().dimension("country").op(Condition.OpEnum.EQ).value(NAME));
    Answer answer = want("query", 200, () -> queries.queryWithHttpInfo(query, null));
    check("exact", answer.getAccuracy().getExact(), mode == Query.ModeEnum.EXACT);
    return answer.getRows().get(0);
  }

  private static void checkNumber(String what, Object got, int want) {
    check(what, ((Number) got).intValue(), want);
  }

  private void askExactly(String receipt) throws ApiException {
    checkNumber("exact views", ask(Query.ModeEnum.EXACT, receipt).getAdditionalProperty("views"), EVENTS);
    Answer got = want("queryByParameters", 200, () -> queries.queryByParametersWithHttpInfo("page_views", null, null,
        List.of("views", "slowest"), null, null, null, List.of("country"), List.of("country:eq:" + NAME), null, null,
        null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null));
    checkNumber("slowest", got.getRows().get(0).getAdditionalProperty("slowest"), EVENTS - 1);
    Map<String, Object> sql = want("runSQL", 200, () -> queries.runSQLWithHttpInfo(new Statement()
        .query("SELECT sum(views) AS views FROM page_views WHERE country = {c:String}").putParametersItem("c", NAME)));
    Map<?, ?> row = (Map<?, ?>) ((List<?>) sql.get("data")).get(0);
    checkNumber("SQL", row.get("views"), EVENTS);
    refused("runSQL", 400, "statement_refused",
        () -> queries.runSQLWithHttpInfo(new Statement().query("DROP TABLE page_views")));
    refused("query", 404, "unknown_view", () -> queries.queryWithHttpInfo(new Query().view("nothing"), null));
    Query views = new Query().view("page_views").measures(List.of("views"))
        .addWhereItem(new Condition().dimension("country").op(Condition.OpEnum.EQ).value(NAME));
    Answers both = want("queryAll", 200, () -> queries.queryAllWithHttpInfo(
        new Queries().queries(List.of(views, new Query().view("nothing")))));
    checkNumber("views of several", both.getAnswers().get(0).getRows().get(0).getAdditionalProperty("views"), EVENTS);
    check("code", both.getAnswers().get(1).getProblem().getCode(), "unknown_view");
  }

  private void inspect() throws ApiException {
    PublicationList all = want("listPublications", 200, () -> publications.listPublicationsWithHttpInfo());
    long n = all.getPublications().get(0).getN();
    want("getPublication", 200, () -> publications.getPublicationWithHttpInfo(n, true, null));
    want("pinPublication", 200, () -> publications.pinPublicationWithHttpInfo(n));
    long first = all.getPublications().get(all.getPublications().size() - 1).getN();
    List<String> own = List.of("country:eq:" + NAME);
    Comparison changed = want("changes", 200, () -> queries.changesWithHttpInfo("page_views", first, null, null, null,
        null, "all", null, List.of("country"), own, null, null));
    check("added", changed.getSummary().getAdded(), 1);
    EventPage stored = want("listEvents", 200, () -> events.listEventsWithHttpInfo("page.viewed", null, null, own, 10,
        null));
    check("source", stored.getEvents().get(0).getEvent().getSource(), NAME);
    Explanation found = want("explainEvent", 200, () -> events.explainEventWithHttpInfo("1", NAME, null));
    check("status", found.getEvents().get(0).getStatus(), ExplainedEvent.StatusEnum.COUNTED);
    DeadLetters letters = want("listDeadLetters", 200, () -> deadLetters.listDeadLettersWithHttpInfo(null, null, null,
        null, null, null));
    String letter = letters.getDeadLetters().get(0).getName();
    want("getDeadLetter", 200, () -> deadLetters.getDeadLetterWithHttpInfo(letter));
    want("replayDeadLetters", 200, () -> deadLetters.replayDeadLettersWithHttpInfo(letter, true, null, null, null,
        null, null, null));
    want("listJobs", 200, () -> jobs.listJobsWithHttpInfo());
    want("runJob", 200, () -> jobs.runJobWithHttpInfo("audit"));
    Audit audit = want("getAudit", 200, () -> verification.getAuditWithHttpInfo(null));
    check("residue", audit.getResidue(), 0);
    want("runJob", 200, () -> jobs.runJobWithHttpInfo("score"));
    want("getScores", 200, () -> verification.getScoresWithHttpInfo());
    String proof = want("verify", 200, () -> verification.verifyWithHttpInfo(""));
    check("findings", proof.contains("\"findings\":[]"), true);
  }

  private void run() throws ApiException, InterruptedException {
    want("health", 200, () -> server.healthWithHttpInfo());
    want("ready", 200, () -> server.readyWithHttpInfo());
    want("openapi", 200, () -> server.openapiWithHttpInfo());
    want("metrics", 200, () -> server.metricsWithHttpInfo());
    declare();
    String receipt = send();
    Row row = ask(Query.ModeEnum.MERGED, receipt);
    checkNumber("views", row.getAdditionalProperty("views"), EVENTS);
    checkNumber("live", row.getLive().get("views"), EVENTS);
    publish(receipt);
    askExactly(receipt);
    inspect();
    want("deleteView", 204, () -> catalog.deleteViewWithHttpInfo(NAME + "_clicks", null, null));
    want("deleteEventType", 204, () -> catalog.deleteEventTypeWithHttpInfo(NAME + ".clicked", null, null));
  }

  public static void main(String[] args) throws Exception {
    new Client(args[0], args[1]).run();
    System.exit(0); // The HTTP client keeps threads.
  }
}
