package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/problem"
	"recount/schemas/record"
	"recount/schemas/setting"
)

// DiscoveryConfig says how event types are declared from the events that arrive (G6).
type DiscoveryConfig struct {
	// On declares event types that are declared nowhere, and fields of event types that were declared so.
	On bool
	// All declares fields of every event type.
	All bool
	// Types is how many event types may be declared, by anything, for a further one to be discovered.
	Types int
	// Fields is how many fields an event type may have for a further one to be discovered.
	Fields int
	// Depth is how many members of data lie inside of each other where a field is discovered.
	Depth int
	// Name is the longest name of a member that is discovered, in bytes.
	Name int
	// Apart says that what is declared can be changed by requests at another address only, that of admin.listen.
	Apart bool
	// Interval is the least time between two generations with fields that were found in events of known types.
	Interval time.Duration
}

// DefaultDiscovery is off, because whether it is on depends on what is declared.
func DefaultDiscovery() DiscoveryConfig {
	return DiscoveryConfig{Types: 100, Fields: 100, Depth: 5, Name: 63, Interval: 10 * time.Second}
}

// maxTypes is the largest DiscoveryConfig.Types. The API declares as many views.
const maxTypes = 500

// Settings lists the bounds that an operator may set.
func (c *DiscoveryConfig) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Count("discovery.max_types", "event types", setting.Range(1, maxTypes), "Most event types that "+
			"are declared, discovered or not; events of a further unknown type become dead letters.", &c.Types),
		setting.Count("discovery.max_fields", "fields", setting.Range(1, catalog.MaxFields), "Most fields of an "+
			"event type, discovered or not; further members are kept undeclared.", &c.Fields),
		setting.Count("discovery.max_depth", "members", setting.Range(1, catalog.MaxPath), "How deep inside of "+
			"data fields are discovered; deeper members are kept undeclared.", &c.Depth),
		setting.Count("discovery.max_name", "bytes", setting.Range(1, catalog.MaxMember), "Longest name of a "+
			"member that becomes a field; other members are kept undeclared.", &c.Name),
		setting.Duration("discovery.interval", setting.Range(100*time.Millisecond, time.Hour), "Least time "+
			"between two additions of fields that appear in events of known types.", &c.Interval),
	}
}

// surveyed is how many members of an event type are looked at. Some of them hold values that no field can have.
func (c *DiscoveryConfig) surveyed() int { return 4 * c.Fields }

// extends reports whether fields of an event type are discovered.
func (c *DiscoveryConfig) extends(declared *catalog.Catalog, name string) bool {
	return c.On && declared.Events[name] != nil && (c.All || declared.Discovered[name])
}

const (
	// proposalTimeout bounds how long a request waits until its event types are declared.
	proposalTimeout = 5 * time.Second
	// lookedAt and lookedAtBytes bound how many events of a declared type are looked at per second for undeclared
	// members, and their size. What is found later counts for the events before, too (I7).
	lookedAt      = 1000
	lookedAtBytes = 1 << 20
)

// discovery declares what arrives. It makes one generation at a time.
type discovery struct {
	cfg     DiscoveryConfig
	propose func(context.Context, func(*catalog.Catalog) (*catalog.Catalog, error)) error
	making  chan struct{} // held while a generation is made; it has one place
	wake    chan struct{} // some event type has new undeclared members
	told    sync.Map      // of the limits that were logged, by event type and key

	refusals map[string]time.Time // when event types could not be declared; making guards it
}

func newDiscovery(cfg DiscoveryConfig, o *Options) *discovery {
	d := &discovery{cfg: cfg, propose: o.Propose, making: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	d.cfg.On = cfg.On && o.Propose != nil
	return d
}

// permission says whether a request's events may declare something.
type permission uint8

const (
	discoveryOff permission = iota
	discoveryForbidden
	discoveryAllowed
)

// allow returns what a principal may do. Event types are those of the installation, so its scope is admin.
func (d *discovery) allow(p access.Principal) permission {
	switch {
	case !d.cfg.On:
		return discoveryOff
	case !p.Scopes.Has(access.Admin):
		return discoveryForbidden
	}
	return discoveryAllowed
}

// candidate is an undeclared event type of one request, whose events are decoded as if it had no fields.
type candidate struct {
	eventType *eventType
	survey    survey
}

// candidate returns the event type of an event whose type is not declared, or nil if the request may not declare it.
func (d *decoder) candidate(name []byte) *eventType {
	if found := d.candidates[string(name)]; found != nil {
		return found.eventType
	}
	if !catalog.MayDiscover(string(name)) {
		return nil
	}
	if len(d.candidates) >= d.room {
		d.noRoom = d.noRoom || d.room > 0
		return nil
	}
	found := &candidate{eventType: compileType(0, 0, &catalog.EventType{Name: string(name)}),
		survey: survey{bounds: d.bounds}}
	found.eventType.candidate = found
	if d.candidates == nil {
		d.candidates = map[string]*candidate{}
	}
	d.candidates[found.eventType.name] = found
	return found.eventType
}

// observeCandidate looks at the event that was decoded, whose type is not declared. The event is decoded again once it
// is. Every event of the request is looked at, so none is refused by a type that others of them have given a member.
func (q *request) observeCandidate() *problem.Problem {
	c := q.decoder.eventType.candidate
	q.unknown = true
	return q.charge(c.survey.observe(q.decoder.undeclared))
}

// seen is what the events of a declared type have that no field reads, as far as this process has looked.
type seen struct {
	rate *rate

	mu     sync.Mutex
	survey survey
}

func (d *discovery) newSeen() *seen {
	return &seen{rate: newRate(lookedAt, lookedAtBytes), survey: survey{bounds: &d.cfg}}
}

// observe looks at the undeclared members of an event, unless it has looked at many just now. It reports whether
// something of them is new.
func (s *seen) observe(members []member, now int64) bool {
	size := 0
	for _, m := range members {
		size += len(m.raw)
	}
	if !s.rate.allow(size, now) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.survey.observe(members)
	return s.survey.changed
}

// begin remembers what the first events had. So a member whose first values have no common type stays undeclared.
func (s *seen) begin(first survey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.survey.members == 0 {
		s.survey = first
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // It will look anyway.
	}
}

// find is what was found in events of one type.
type find struct {
	name    string
	fresh   bool // the event type is not declared
	members []catalog.Found
	met     limits
}

// findNew returns what was found, if something of it is new since the last call.
func (s *seen) findNew(name string) (find, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.survey.changed {
		return find{}, false
	}
	return find{name: name, members: s.survey.found(), met: s.survey.met}, true
}

// giveBack makes the next call of findNew return it again.
func (s *seen) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.survey.changed = true
}

// addFields declares the fields that appear in events of declared types, until ctx ends. What waits for the interval
// then is declared at once: the next process knows nothing of it. Nothing is stored about it before, so after a kill
// such a field is declared when another event has it.
func (s *Server) addFields(ctx context.Context) error {
	defer s.addFound(context.WithoutCancel(ctx))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.discovery.wake:
		}
		if !s.addFound(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.discovery.cfg.Interval):
		}
	}
}

// addFound declares what was found since the last call. It reports whether it has tried to make a generation.
func (s *Server) addFound(ctx context.Context) (tried bool) {
	types := s.current().types
	var finds []find
	for name, t := range types {
		if t.seen == nil {
			continue
		}
		if f, ok := t.seen.findNew(name); ok {
			finds = append(finds, f)
		}
	}
	limited, cancel := context.WithTimeout(ctx, proposalTimeout)
	defer cancel()
	done, err := s.declareFound(limited, func() []find { return finds })
	if err == nil {
		return len(done.made)+len(done.refused) > 0
	}
	if ctx.Err() == nil {
		s.logger.Warn("fields that were found in events cannot be declared; they are kept undeclared until it is "+
			"tried again", "error", err)
	}
	for _, f := range finds {
		types[f.name].seen.giveBack()
	}
	notify(s.discovery.wake)
	return true
}

// outcome is what became of finds.
type outcome struct {
	made    []catalog.Discovery // by this process
	full    bool                // there was no room for an event type
	refused map[string]bool     // event types of which no generation can declare what was found
}

func (o *outcome) refuse(name string) {
	if o.refused == nil {
		o.refused = map[string]bool{}
	}
	o.refused[name] = true
}

const (
	// refusedFor is how long an event type that no generation can declare is not tried again. Each try reads the
	// chain of generations, and each request would make one.
	refusedFor = time.Minute
	// mostRefused bounds how many of them are remembered.
	mostRefused = 1000
)

// remember remembers that an event type could not be declared. making must be held.
func (d *discovery) remember(name string, now time.Time) {
	if d.refusals == nil || len(d.refusals) >= mostRefused {
		d.refusals = map[string]time.Time{} // They are tried once more.
	}
	d.refusals[name] = now
}

// declareFound declares what is found. list is called when no other generation of this process is being made.
func (s *Server) declareFound(ctx context.Context, list func() []find) (done outcome, err error) {
	select {
	case s.discovery.making <- struct{}{}:
		defer func() { <-s.discovery.making }()
	case <-ctx.Done():
		return done, ctx.Err()
	}
	finds := slices.DeleteFunc(list(), func(f find) bool {
		refused := f.fresh && s.now().Before(s.discovery.refusals[f.name].Add(refusedFor))
		if refused {
			done.refuse(f.name)
		}
		return refused
	})
	slices.SortFunc(finds, func(a, b find) int { return strings.Compare(a.name, b.name) })
	if err = s.declareTogether(ctx, finds, &done); !errors.Is(err, record.ErrUndeclarable) {
		return done, err
	}
	for i, f := range finds { // One of them would take the others with it.
		err = s.declareTogether(ctx, finds[i:i+1], &done)
		switch {
		case errors.Is(err, record.ErrUndeclarable):
			s.logger.Error("what was found in events cannot be declared, whoever asks", "type", f.name, "error", err)
			done.refuse(f.name)
			s.discovery.remember(f.name, s.now())
		case err != nil:
			return done, err
		}
	}
	return done, nil
}

// declareTogether makes one generation of what was found, unless it is declared already.
func (s *Server) declareTogether(ctx context.Context, finds []find, done *outcome) (err error) {
	current := s.current().catalog
	next, made, full := s.discovery.extend(current, finds)
	if next != current {
		began := time.Now()
		err = s.discovery.propose(ctx, func(newest *catalog.Catalog) (next *catalog.Catalog, _ error) {
			next, made, full = s.discovery.extend(newest, finds)
			return next, nil
		})
		s.metrics.proposals.Observe(time.Since(began).Seconds())
	}
	if err != nil {
		return err
	}
	for _, f := range finds {
		s.meetLimits(f.name, f.met)
	}
	if full {
		s.meetLimits("", limitTypes)
	}
	for _, d := range made {
		s.tellDiscovery(d)
	}
	done.made = append(done.made, made...)
	done.full = done.full || full
	return nil
}

// extend returns a catalog that also declares what was found. full means that there was no room for an event type.
func (d *discovery) extend(newest *catalog.Catalog, finds []find) (next *catalog.Catalog, made []catalog.Discovery,
	full bool) {
	next = newest
	for _, f := range finds {
		switch declared := next.Events[f.name] != nil; {
		case !declared && !f.fresh: // It was removed meanwhile.
			continue
		case !declared && next.Declared() >= d.cfg.Types:
			full = true
			continue
		case declared && !d.cfg.extends(next, f.name):
			continue
		}
		extended, done := next.Discover(f.name, f.members, d.cfg.Fields)
		next = extended
		if done.New || len(done.Fields) > 0 || len(done.Undecided) > 0 || done.Left > 0 {
			made = append(made, done)
		}
	}
	return next, made, full
}

// tellDiscovery logs and counts what was declared.
func (s *Server) tellDiscovery(d catalog.Discovery) {
	fields := make([]string, len(d.Fields))
	for i, f := range d.Fields {
		fields[i] = f.Name + " " + string(f.Type)
	}
	s.metrics.discoveredFields.Add(float64(len(fields)))
	switch listed := strings.Join(fields, ", "); {
	case d.New:
		s.metrics.discoveredTypes.Inc()
		s.logger.Info("an event type was declared from its first events", "type", d.Type.Name, "fields", listed,
			"view", d.View, "count", s.howToCount(d.View))
	case len(fields) > 0:
		s.logger.Info("fields were declared from events that have them", "type", d.Type.Name, "fields", listed)
	}
	if len(d.Undecided) > 0 {
		s.logger.Info("members have values of which no type holds all, and stay undeclared", "type", d.Type.Name,
			"members", d.Undecided)
	}
	if d.Left > 0 {
		s.meetLimits(d.Type.Name, limitFields)
	}
}

// howToCount returns the command that counts the events of a discovered type. Where a bucket is no whole number of
// minutes, the view has no cells of a minute.
func (s *Server) howToCount(view string) string {
	if s.bucket%time.Minute != 0 {
		return "recount query " + view
	}
	return "recount query " + view + " --granularity 1m"
}

// meetLimits counts and logs limits that were met, each once for an event type.
func (s *Server) meetLimits(eventType string, met limits) {
	for i, key := range limitKeys {
		if met&(1<<i) == 0 {
			continue
		}
		place := eventType + " " + key
		if _, told := s.discovery.told.LoadOrStore(place, true); told {
			continue
		}
		s.metrics.discoveryLimits.WithLabelValues(key).Inc()
		s.logger.Warn("a bound of discovery was met; what is beyond it stays undeclared", "setting", "discovery."+key,
			"type", eventType)
	}
}

// learn returns the newest event types after a request has named one that this process does not know (G3). It declares
// those that the request may declare (G6).
func (s *Server) learn(ctx context.Context, q *request) (newest *declared, done outcome, p *problem.Problem) {
	ctx, cancel := context.WithTimeout(ctx, proposalTimeout)
	defer cancel()
	mayDeclare := q.hasCandidate()
	if s.look != nil {
		if err := s.look(ctx); err != nil && mayDeclare {
			return nil, done, s.undecided(err)
		} else if err != nil {
			s.logger.Warn("the catalog cannot be read, so an unknown event type is refused", "error", err)
		}
	}
	if !mayDeclare {
		return s.current(), done, nil
	}
	done, err := s.declareFound(ctx, func() []find { return q.finds(s.current()) })
	if err != nil {
		return nil, done, s.undecided(err)
	}
	q.discovered = appendDiscovered(q.discovered[:0], done.made)
	newest = s.current()
	for name, c := range q.decoder.candidates {
		if t := newest.types[name]; t != nil && t.seen != nil {
			t.seen.begin(c.survey)
		}
	}
	return newest, done, nil
}

// continues makes the decoder explain the event types that are still unknown. Those whose events are all refused for
// another reason stay candidates, so each of these events gets its own reason again.
func (d *decoder) continues(first *decoder, done *outcome) {
	d.permission = first.permission
	d.noRoom = first.noRoom || done.full
	d.refused = done.refused
	d.candidates = first.candidates
	maps.DeleteFunc(d.candidates, func(_ string, c *candidate) bool { return c.survey.events > 0 })
}

// hasCandidate reports whether there is an event whose type the request may declare.
func (q *request) hasCandidate() bool {
	for _, c := range q.decoder.candidates {
		if c.survey.events > 0 {
			return true
		}
	}
	return false
}

// finds returns what the request has found about event types that are still not declared.
func (q *request) finds(d *declared) (out []find) {
	for name, c := range q.decoder.candidates {
		if d.types[name] == nil && c.survey.events > 0 {
			out = append(out, find{name: name, fresh: true, members: c.survey.found(), met: c.survey.met})
		}
	}
	return out
}

// undecided refuses a request whose event types could not be declared. It may be sent again with the same ids.
func (s *Server) undecided(err error) *problem.Problem {
	s.logger.Warn("the event types of a request cannot be declared now; its client may send it again", "error", err)
	return problem.New(http.StatusServiceUnavailable, problem.CatalogUnavailable, "the request has events of a type "+
		"that is not declared yet, and the catalog cannot be read or changed now; nothing was stored, send the same "+
		"request again")
}

// appendDiscovered appends the event types that were declared, as the answer has them.
func appendDiscovered(b []byte, made []catalog.Discovery) []byte {
	for _, d := range made {
		if !d.New {
			continue
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"name":`...), d.Type.Name)
		b = appendText(append(b, `,"view":`...), d.View)
		b = append(append(b, `,"declaration":`...), declaration.JSON(declaration.OfEventType(d.Type))...)
		b = append(b, '}')
	}
	return b
}

// unknownType says why the event's type is refused.
func (d *decoder) unknownType() string {
	name := d.attributes[attrType]
	switch {
	case d.permission == discoveryOff:
		return "type: " + excerpt(name) + " is not declared under events in the configuration"
	case !catalog.MayDiscover(string(name)):
		return "type: " + excerpt(name) + " is not declared and cannot be; an event type is 1 to 128 letters, " +
			"digits, dots, dashes and underscores, and does not begin with " + catalog.ReservedPrefix
	}
	put := putOf(string(name), d.apart)
	switch {
	case d.permission == discoveryForbidden:
		return "type: " + excerpt(name) + " is not declared; a key with scope admin may send its first events, or " +
			"declare it with " + put
	case d.refused[string(name)]:
		return "type: " + excerpt(name) + " is not declared, and what its events hold cannot be declared; the " +
			"server's log says why; declare it with " + put
	case d.noRoom:
		d.full = true
		return "type: " + excerpt(name) + " is not declared, and discovery.max_types allows no further event type; " +
			"raise it, or declare the type with " + put
	}
	return "type: " + excerpt(name) + " is not declared any more; send the event again, or declare the type with " + put
}

// putOf names the request that declares an event type. apart says that another address than that of events serves it.
func putOf(name string, apart bool) string {
	if apart {
		return "PUT /v1/event-types/" + name + " at the address of admin.listen"
	}
	return "PUT /v1/event-types/" + name
}

// mismatchFix says what to do about a value that does not fit a field: about a text that often means a missing value,
// and about any value if the event type was discovered.
func (t *eventType) mismatchFix(raw []byte) string {
	if word, isText := bytes.CutPrefix(raw, []byte{'"'}); isText && catalog.LooksMissing(string(word[:len(word)-1])) {
		return ": if it means that the value is missing, add it to null_values of the field, and then run recount " +
			"dead-letters replay"
	}
	if !t.discovered {
		return ""
	}
	kind := kindOfValue(raw)
	if kind == huge {
		s := newValueScanner(raw)
		n, _ := s.scanNumber()
		if _, fits := n.float64(); !fits {
			return ": it is a number that no type holds; send it as a text in a member of another name"
		}
	}
	return fmt.Sprintf(": it is %s; the event type was declared from its first events, so if such values are right, "+
		"change the type of the field with %s, and then run recount dead-letters replay", kindNames[kind],
		putOf(t.name, t.apart))
}

var kindNames = map[kinds]string{wholes: "a whole number", fractions: "a number with a fraction",
	huge: "a number that no field holds exactly", booleans: "a boolean", moments: "a time", texts: "a text",
	objects: "an object", arrays: "an array"}

// openTypes lets event types be extended. Those that were open before keep what was seen of them. A field that was
// removed comes back if events still have it.
func (d *discovery) openTypes(now, before *declared) {
	for name, t := range now.types {
		t.discovered = now.catalog.Discovered[name]
		t.apart = d.cfg.Apart
		if !d.cfg.extends(now.catalog, name) {
			continue
		}
		old := before.types[name]
		if old == nil || old.seen == nil {
			t.seen = d.newSeen()
			continue
		}
		t.seen = old.seen
		if now.catalog.Events[name].Lacks(before.catalog.Events[name]) {
			t.seen.giveBack()
		}
	}
}
