// recount.js counts what happens on the page that includes it:
//
//	<script defer src="https://recount.example/recount.js" data-key="recount_…"></script>
//
// It sends page views, also those of an application that changes its address without loading a page. It keeps nothing
// in the browser and reads nothing that identifies its user. collect.go says what it sends. Lines that begin with two
// slashes, and indentation, are removed before it is served.
(() => {
	const here = document.currentScript;
	const { key, view = "page.viewed", link, source = location.host } = here.dataset;
	const url = new URL("/v1/events?key=" + key, here.src);
	const asked = navigator.doNotTrack == "1" || navigator.globalPrivacyControl;
	let waiting = [];
	let tries = 0;
	let timer;

	// An id of its own makes an event that is sent twice count once. The server sets the time, because clocks of
	// browsers are wrong.
	const count = (type, data) => {
		if (asked) return;
		const random = crypto.getRandomValues(new Uint8Array(16));
		const id = Array.from(random, (byte) => (byte + 256).toString(16).slice(1)).join("");
		waiting.push({ id, source, type, data: { page: location.pathname, ...data } });
		timer ||= setTimeout(send);
	};

	// A string is text/plain, for which a browser does not ask the server first. What is refused for good is not sent
	// again. What may pass later is, for half a minute: copies are found within two windows of time (I3).
	const send = () => {
		const batch = waiting.slice(0, 50);
		const done = (answer) => {
			timer = 0;
			const later = !answer || answer.status == 429 || answer.status > 499;
			if (later && ++tries < 6) {
				timer = setTimeout(send, 500 << tries);
				return;
			}
			tries = 0;
			waiting = waiting.filter((event) => !batch.includes(event));
			timer = waiting[0] && setTimeout(send);
		};
		const request = { method: "POST", body: JSON.stringify(batch), keepalive: true, credentials: "omit" };
		fetch(url, request).then(done, () => done());
	};

	// The page may end before an answer comes. So everything that has none is sent once more, and counts once.
	addEventListener("pagehide", () => {
		if (waiting[0] && navigator.sendBeacon(url, JSON.stringify(waiting))) waiting = [];
	});

	let last;
	let referrer = document.referrer;
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
	addEventListener("pageshow", (event) => {
		if (event.persisted) look((last = 0));
	});

	if (link)
		addEventListener("click", (event) => {
			const a = event.target.closest?.("a[href]");
			if (a?.host && a.host != location.host) count(link, { link: a.origin + a.pathname });
		}, true);

	window.recount = count;
	look();
})();
