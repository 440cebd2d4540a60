# SPDX-License-Identifier: PostgreSQL
#
# $(BUILD)/report/page.html: the page of `pqpool report`, one file that needs no other. The plotting
# library comes from npm, once, in the version and with the digest of package-lock.json. A release
# brings the page as it was made (tools/report/page/page.html): then neither npm nor network is needed.

PAGE        := tools/report/page
PAGE_BUILD  := $(BUILD)/report
PAGE_READY  := $(wildcard $(PAGE)/page.html)
PAGE_SOURCE := $(PAGE)/template.html $(PAGE)/inline.js $(wildcard $(PAGE)/style/*.css $(PAGE)/script/*.js)
PAGE_NPM    := $(PAGE_BUILD)/npm

ifneq ($(PAGE_READY),)
$(PAGE_BUILD)/page.html: $(PAGE_READY)
	@mkdir -p $(@D)
	cp $< $@
else
$(PAGE_BUILD)/page.html: $(PAGE_SOURCE) $(PAGE_NPM)/done
	node $(PAGE)/inline.js $(PAGE_NPM)/node_modules >$@.new
	@mv $@.new $@
endif

$(PAGE_NPM)/done: $(PAGE)/package.json $(PAGE)/package-lock.json
	@command -v npm >/dev/null || { echo 'pqpool needs npm (package npm) for the page of pqpool report' >&2; exit 1; }
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@cd '$(@D)' && npm ci --ignore-scripts --no-audit --no-fund >log 2>&1 || { \
		echo 'pqpool needs npm (package npm) and a registry for the page of pqpool report; see $(@D)/log' >&2; exit 1; }
	@touch $@
