// recount.js counts what happens on the page that includes it:
//
//	<script defer src="https://recount.example/recount.js" data-key="recount_…"></script>
//
// It sends page views, also those of an application that changes its address without loading a page. It keeps nothing
// in the browser and reads nothing that identifies its user. collect.go says what it sends. Lines that begin with two
// slashes, ends of lines, and spaces beside punctuation are removed before it is served.
(() => {
	const { src, dataset: { key, view = "page.viewed", link, source = location.host } } = document.currentScript;
	const url = new URL("/v1/events?key=" + key, src);
	const asked = /1|yes/.test(navigator.doNotTrack) || navigator.globalPrivacyControl;
	let waiting = [];
	let pause = 0;
	let timer;

	// An id of its own makes an event that is sent twice count once. The server sets the time, because clocks of
	// browsers are wrong. An event that is larger than a request may be would be refused, so it does not wait. At most
	// 1,000 wait while the server cannot be reached.
	const count = (type, data) => {
		if (asked || waiting[999]) return;
		const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
		const text = JSON.stringify({ id, source, type, data: { page: location.pathname, ...data } });
		const { size } = new Blob([text]);
		if (size > 5e4) return console.warn("too large for recount:", type);
		waiting.push({ text, size });
		timer ||= setTimeout(send);
	};

	const drop = events => (waiting = waiting.filter(event => !events.includes(event)));
	const pack = batch => `[${batch.map(event => event.text)}]`;

	// next is the next batch. The server takes 64 KiB (collectBytes). Copies are found within two windows of time (I3),
	// so an event is dropped a minute after it was sent first, by the clock: timers stop while a computer sleeps.
	const next = (room = 5e4, now = Date.now()) => {
		drop(waiting.filter(event => now - event.sent > 6e4));
		return waiting.slice(0, 50).filter(event => (room -= event.size) >= 0 && (event.sent ||= now));
	};

	// A string is text/plain, for which a browser does not ask the server first. What is refused for good is not sent
	// again, and what may pass later is. There is no keepalive, because its room is needed by beacons.
	const send = async () => {
		const batch = next();
		if (!batch[0]) return (timer = pause = 0);
		const { status } = await fetch(url, { method: "POST", body: pack(batch), credentials: "omit" })
			.catch(() => ({ status: 503 }));
		const later = status == 429 || status > 499;
		pause = later && Math.min(pause * 2 || 1e3, 16e3);
		if (!later) drop(batch);
		timer = setTimeout(send, pause);
	};

	// The page may end before an answer comes. So everything that has none is sent once more, and counts once. A
	// browser takes 64 KiB of beacons at once; what it does not take waits, for the page may be shown again.
	addEventListener("pagehide", () => {
		let batch;
		while ((batch = next())[0] && navigator.sendBeacon(url, pack(batch))) drop(batch);
	});

	let last;
	let referrer = document.referrer.split("?")[0];
	const look = () => {
		if (document.prerendering || last == location.pathname) return;
		last = location.pathname;
		count(view, { referrer });
		referrer = "";
	};
	const { pushState } = history;
	history.pushState = function (...state) {
		pushState.apply(this, state);
		look();
	};
	addEventListener("popstate", look);
	document.addEventListener("prerenderingchange", look);
	// A page that comes back as it was left has been viewed again.
	addEventListener("pageshow", event => {
		if (event.persisted) look((last = 0));
	});

	if (link)
		addEventListener("click", event => {
			const a = event.target.closest?.("a[href]");
			if (a?.host && a.host != location.host) count(link, { link: a.origin + a.pathname });
		}, true);

	window.recount = count;
	look();
})();
