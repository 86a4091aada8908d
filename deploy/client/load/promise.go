package load

import "recount/deploy/client/acklog"

// promises turns an attempt into lines of the acknowledgement log, one for the new events and one for the copies. wrong
// counts the valid events that were refused for good and the malformed events that were accepted.
func (l *Load) promises(a *attempt, fresh, copies span) (lines []acklog.Line, wrong int64) {
	var kind acklog.Kind
	switch a.verdict {
	case acked, partly:
		kind = acklog.Acked
	case refused:
		kind = acklog.Rejected
	case lost:
		kind = acklog.Unknown
	default:
		return nil, 0
	}
	both := [2]acklog.Line{
		{Kind: kind, First: fresh.first, Count: fresh.count},
		{Kind: kind, First: copies.first, Count: copies.count},
	}
	if kind == acklog.Unknown {
		return nonEmpty(both), 0
	}
	rejected := map[int64]bool{} // The keys are indexes in the request.
	for _, r := range a.result.Rejected {
		line := &both[0]
		number := fresh.first + int64(r.Index)
		if int64(r.Index) >= fresh.count {
			line = &both[1]
			number = copies.first + int64(r.Index) - fresh.count
		}
		rejected[int64(r.Index)] = true
		switch pending := r.Code.RetryEvent(); {
		case pending:
			line.Pending = append(line.Pending, number)
		case kind == acklog.Acked:
			line.Refused = append(line.Refused, number)
			fallthrough
		default:
			if !l.events.malformed(number) {
				wrong++
			}
		}
	}
	return nonEmpty(both), wrong + l.acceptedMalformed(rejected, fresh, copies)
}

// acceptedMalformed counts the malformed events that were not rejected.
func (l *Load) acceptedMalformed(rejected map[int64]bool, fresh, copies span) (wrong int64) {
	if l.cfg.Malformed == 0 {
		return 0
	}
	for k := range fresh.count + copies.count {
		number := fresh.first + k
		if k >= fresh.count {
			number = copies.first + k - fresh.count
		}
		if l.events.malformed(number) && !rejected[k] {
			wrong++
		}
	}
	return wrong
}

// nonEmpty returns the lines that are about at least one event.
func nonEmpty(lines [2]acklog.Line) (out []acklog.Line) {
	for _, line := range lines {
		if line.Count > 0 {
			out = append(out, line)
		}
	}
	return out
}
