BEGIN TRANSACTION;
CREATE TABLE task_declarations (
	id INTEGER NOT NULL, 
	namespace VARCHAR(200) NOT NULL, 
	task VARCHAR(200) NOT NULL, 
	scope VARCHAR(40) NOT NULL, 
	identity TEXT NOT NULL, 
	anchor BIGINT NOT NULL, 
	since BIGINT NOT NULL, 
	until BIGINT, 
	epoch INTEGER NOT NULL, 
	owed INTEGER NOT NULL, 
	retired INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "task_declarations" VALUES(1,'default','report','','every 10 minutes',1777896000000000,1777896000000000,NULL,0,1,0);
INSERT INTO "task_declarations" VALUES(2,'default','report','','5 * * * * in Europe/Amsterdam',1777896000000000,1777896000000000,NULL,0,1,0);
INSERT INTO "task_declarations" VALUES(3,'default','fail','','every 15 minutes',1777896000000000,1777896000000000,NULL,0,1,0);
INSERT INTO "task_declarations" VALUES(4,'default','off','','every 7 minutes',1777896000000000,1777896000000000,NULL,0,1,0);
INSERT INTO "task_declarations" VALUES(5,'default','after','','every 20 minutes',1777896000000000,1777896000000000,NULL,0,1,0);
CREATE TABLE task_incidents (
	id VARCHAR(36) NOT NULL, 
	namespace VARCHAR(200) NOT NULL, 
	task VARCHAR(200) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	since BIGINT NOT NULL, 
	text TEXT NOT NULL, 
	run VARCHAR(36), 
	ended_at BIGINT, 
	PRIMARY KEY (id)
);
CREATE TABLE task_journal (
	id INTEGER NOT NULL, 
	namespace VARCHAR(200) NOT NULL, 
	at BIGINT NOT NULL, 
	who TEXT NOT NULL, 
	what VARCHAR(40) NOT NULL, 
	task VARCHAR(200), 
	note TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "task_journal" VALUES(1,'default',1777896000000000,'root@host','disabled','off','not now');
INSERT INTO "task_journal" VALUES(2,'default',1777897860000000,'root@host','triggered','report','run 019df2f8-6ba0-7000-8a1f-aa3e7770dddd with {"region": "US"}');
INSERT INTO "task_journal" VALUES(3,'default',1777905062000000,'root@host','triggered','after','run 019df366-5070-7000-8a1f-ab202c57824d');
CREATE TABLE task_logs (
	run VARCHAR(36) NOT NULL, 
	lines TEXT NOT NULL, 
	dropped INTEGER NOT NULL, 
	PRIMARY KEY (run)
);
INSERT INTO "task_logs" VALUES('019df2e0-9de0-7000-8a1f-a983cc0a3b21','[[1777896300000000, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df2e5-31c0-7000-8a1f-a9a1b47ed9a5','[[1777896600000000, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df2ee-5980-7000-8a1f-a9e23e49345e','[[1777897200000000, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df2f7-8140-7000-8a1f-aa2c89ea2acc','[[1777897800000000, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df2f8-6ba0-7000-8a1f-aa3e7770dddd','[[1777897860000000, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df366-4c88-7000-8a1f-aa8fcaa6a656','[[1777905061000000, 20, "task.run", "a line"]]',0);
CREATE TABLE task_namespaces (
	namespace VARCHAR(200) NOT NULL, 
	token BIGINT NOT NULL, 
	news BIGINT NOT NULL, 
	paused INTEGER NOT NULL, 
	waiting INTEGER NOT NULL, 
	entries BIGINT NOT NULL, 
	changes BIGINT NOT NULL, 
	PRIMARY KEY (namespace)
);
INSERT INTO "task_namespaces" VALUES('default',12,2,0,0,0,49);
CREATE TABLE task_processes (
	id VARCHAR(36) NOT NULL, 
	namespace VARCHAR(200) NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	started_at BIGINT NOT NULL, 
	beat BIGINT NOT NULL, 
	beat_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	ending VARCHAR(20), 
	vitals TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "task_processes" VALUES('4e7321dc-1a97-4f5a-8186-c85e21c82400','default','host',25599,1777896000000000,169,1777897855000000,1777897861000000,'stopped',NULL);
INSERT INTO "task_processes" VALUES('96f6a4f9-101c-431f-8829-800568fc2c7d','default','host',25599,1777905061000000,0,1777905061000000,1777905062000000,'stopped',NULL);
CREATE TABLE task_recurring (
	namespace VARCHAR(200) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	task VARCHAR(200) NOT NULL, 
	schedule TEXT, 
	parameters TEXT NOT NULL, 
	max_concurrent INTEGER NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	scheduled_at BIGINT NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (namespace, name)
);
CREATE TABLE task_runs (
	id VARCHAR(36) NOT NULL, 
	namespace VARCHAR(200) NOT NULL, 
	task VARCHAR(200) NOT NULL, 
	scope VARCHAR(40) NOT NULL, 
	epoch INTEGER NOT NULL, 
	slot BIGINT, 
	last_at BIGINT, 
	count INTEGER NOT NULL, 
	"before" BIGINT, 
	"trigger" VARCHAR(20) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	place INTEGER NOT NULL, 
	max_concurrent INTEGER NOT NULL, 
	overlap VARCHAR(20) NOT NULL, 
	mutex VARCHAR(200), 
	reason TEXT, 
	queued_at BIGINT NOT NULL, 
	next_at BIGINT, 
	started_at BIGINT, 
	finished_at BIGINT, 
	delays TEXT, 
	attempt INTEGER NOT NULL, 
	attempt_started_at BIGINT, 
	attempts TEXT, 
	error TEXT, 
	traceback TEXT, 
	result TEXT, 
	result_is_json INTEGER NOT NULL, 
	progress FLOAT, 
	message TEXT, 
	parameters TEXT, 
	declared INTEGER NOT NULL, 
	portable INTEGER NOT NULL, 
	rerun INTEGER NOT NULL, 
	reruns INTEGER NOT NULL, 
	inputs TEXT, 
	parent_id VARCHAR(36), 
	owner VARCHAR(36), 
	token BIGINT NOT NULL, 
	host TEXT, 
	process INTEGER, 
	thread TEXT, 
	asked TEXT, 
	traceparent VARCHAR(100), 
	aside TEXT, 
	changed BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT task_runs_slot UNIQUE (namespace, task, scope, epoch, slot)
);
INSERT INTO "task_runs" VALUES('019df2e0-9de0-7000-8a1f-a983cc0a3b21','default','report','',0,1777896300000000,1777896300000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777896300000000,NULL,1777896300000000,1777896300000000,NULL,1,1777896300000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',1,'host',25599,'MainThread',NULL,NULL,NULL,3);
INSERT INTO "task_runs" VALUES('019df2e2-72a0-7000-8a1f-a99d14407ba6','default','off','',0,1777896420000000,1777897680000000,4,NULL,'schedule','skipped',0,1,'skip',NULL,'disabled',1777896420000000,1777896420000000,NULL,1777896420000000,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',0,NULL,NULL,NULL,NULL,NULL,NULL,21);
INSERT INTO "task_runs" VALUES('019df2e5-31c0-7000-8a1f-a9a1b47ed9a5','default','report','',0,1777896600000000,1777896600000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777896600000000,NULL,1777896600000000,1777896600000000,NULL,1,1777896600000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',2,'host',25599,'MainThread',NULL,NULL,NULL,7);
INSERT INTO "task_runs" VALUES('019df2e9-c5a0-7000-8a1f-a9c2ac195668','default','fail','',0,1777896900000000,1777896900000000,1,NULL,'schedule','failed',0,1,'skip',NULL,NULL,1777896900000000,NULL,1777896900000000,1777896901000000,NULL,2,1777896901000000,'[[1, 1777896900000000, 1777896900000000, "ValueError: on purpose", "  File \"tasks.py\", line 80, in fail\n    raise ValueError(\"on purpose\")\nValueError: on purpose"]]','ValueError: on purpose','  File "tasks.py", line 80, in fail
    raise ValueError("on purpose")
ValueError: on purpose',NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',3,'host',25599,'MainThread',NULL,NULL,NULL,13);
INSERT INTO "task_runs" VALUES('019df2ee-5980-7000-8a1f-a9db8e5d904a','default','after','',0,1777897200000000,1777897200000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777897200000000,NULL,1777897200000000,1777897200000000,NULL,1,1777897200000000,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',4,'host',25599,'MainThread',NULL,NULL,NULL,16);
INSERT INTO "task_runs" VALUES('019df2ee-5980-7000-8a1f-a9e23e49345e','default','report','',0,1777897200000000,1777897200000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777897200000000,NULL,1777897200000000,1777897200000000,NULL,1,1777897200000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',5,'host',25599,'MainThread',NULL,NULL,NULL,19);
INSERT INTO "task_runs" VALUES('019df2f7-8140-7000-8a1f-aa1b780103b0','default','fail','',0,1777897800000000,1777897800000000,1,NULL,'schedule','failed',0,1,'skip',NULL,NULL,1777897800000000,NULL,1777897800000000,1777897801000000,NULL,2,1777897801000000,'[[1, 1777897800000000, 1777897800000000, "ValueError: on purpose", "  File \"tasks.py\", line 80, in fail\n    raise ValueError(\"on purpose\")\nValueError: on purpose"]]','ValueError: on purpose','  File "tasks.py", line 80, in fail
    raise ValueError("on purpose")
ValueError: on purpose',NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',6,'host',25599,'MainThread',NULL,NULL,NULL,29);
INSERT INTO "task_runs" VALUES('019df2f7-8140-7000-8a1f-aa2c89ea2acc','default','report','',0,1777897800000000,1777897800000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777897800000000,NULL,1777897800000000,1777897800000000,NULL,1,1777897800000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',7,'host',25599,'MainThread',NULL,NULL,NULL,27);
INSERT INTO "task_runs" VALUES('019df2f8-6ba0-7000-8a1f-aa3e7770dddd','default','report','',0,NULL,NULL,1,NULL,'manual','succeeded',0,1,'skip',NULL,NULL,1777897860000000,NULL,1777897860000000,1777897860000000,NULL,1,1777897860000000,NULL,NULL,NULL,'{"region": "US"}',1,50.0,'half','{"region": "US"}',0,1,0,0,NULL,NULL,'4e7321dc-1a97-4f5a-8186-c85e21c82400',8,'host',25599,'MainThread',NULL,NULL,NULL,32);
INSERT INTO "task_runs" VALUES('019df366-4c87-7ffb-8a1f-aa73a6b484da','default','off','',0,1777898100000000,1777904400000000,16,1777904820000000,'schedule','missed',0,1,'skip',NULL,'late: a newer slot was due',1777905061000000,1777905061000000,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0,1,0,0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,33);
INSERT INTO "task_runs" VALUES('019df366-4c88-7000-8a1f-aa5936934038','default','off','',0,1777904820000000,1777904820000000,1,NULL,'catch-up','skipped',0,1,'skip',NULL,'disabled',1777905061000000,1777905061000000,NULL,1777905061000000,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'96f6a4f9-101c-431f-8829-800568fc2c7d',0,NULL,NULL,NULL,NULL,NULL,NULL,34);
INSERT INTO "task_runs" VALUES('019df366-4c87-7ffb-8a1f-aaabe2683332','default','report','',0,1777898400000000,1777904400000000,13,1777905000000000,'schedule','missed',0,1,'skip',NULL,'late: a newer slot was due',1777905061000000,1777905061000000,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0,1,0,0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,35);
INSERT INTO "task_runs" VALUES('019df366-4c88-7000-8a1f-aa8fcaa6a656','default','report','',0,1777905000000000,1777905000000000,1,NULL,'catch-up','succeeded',0,1,'skip',NULL,NULL,1777905061000000,NULL,1777905061000000,1777905061000000,'{"manager not running": 61.0}',1,1777905061000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'96f6a4f9-101c-431f-8829-800568fc2c7d',9,'host',25599,'MainThread',NULL,NULL,NULL,38);
INSERT INTO "task_runs" VALUES('019df366-4c87-7ffb-8a1f-aada3bc47836','default','after','',0,1777898400000000,1777903200000000,5,1777904400000000,'schedule','missed',0,1,'skip',NULL,'late: a newer slot was due',1777905061000000,1777905061000000,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0,1,0,0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,39);
INSERT INTO "task_runs" VALUES('019df366-4c88-7000-8a1f-aaba0abf6ea5','default','after','',0,1777904400000000,1777904400000000,1,NULL,'catch-up','succeeded',0,1,'skip',NULL,NULL,1777905061000000,NULL,1777905061000000,1777905061000000,'{"manager not running": 661.0}',1,1777905061000000,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'96f6a4f9-101c-431f-8829-800568fc2c7d',10,'host',25599,'MainThread',NULL,NULL,NULL,42);
INSERT INTO "task_runs" VALUES('019df366-4c87-7ffb-8a1f-ab080a2d84ab','default','fail','',0,1777898700000000,1777904100000000,7,1777905000000000,'schedule','missed',0,1,'skip',NULL,'late: a newer slot was due',1777905061000000,1777905061000000,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0,1,0,0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,43);
INSERT INTO "task_runs" VALUES('019df366-4c88-7000-8a1f-aae0ac5b0fc9','default','fail','',0,1777905000000000,1777905000000000,1,NULL,'catch-up','failed',0,1,'skip',NULL,NULL,1777905061000000,NULL,1777905061000000,1777905062000000,'{"manager not running": 61.0}',2,1777905062000000,'[[1, 1777905061000000, 1777905061000000, "ValueError: on purpose", "  File \"tasks.py\", line 80, in fail\n    raise ValueError(\"on purpose\")\nValueError: on purpose"]]','ValueError: on purpose','  File "tasks.py", line 80, in fail
    raise ValueError("on purpose")
ValueError: on purpose',NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'96f6a4f9-101c-431f-8829-800568fc2c7d',11,'host',25599,'MainThread',NULL,NULL,NULL,48);
INSERT INTO "task_runs" VALUES('019df366-5070-7000-8a1f-ab202c57824d','default','after','',0,NULL,NULL,1,NULL,'manual','queued',1,1,'skip',NULL,NULL,1777905062000000,1777905062000000,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,NULL,12,NULL,NULL,NULL,NULL,NULL,NULL,49);
CREATE TABLE task_schema (
	version INTEGER NOT NULL
);
INSERT INTO "task_schema" VALUES(1);
CREATE TABLE task_tasks (
	namespace VARCHAR(200) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	scope VARCHAR(40) NOT NULL, 
	mark BIGINT, 
	epoch INTEGER NOT NULL, 
	pruned BIGINT, 
	enabled INTEGER NOT NULL, 
	note TEXT, 
	until BIGINT, 
	turned_at BIGINT, 
	turned_by TEXT, 
	disabled INTEGER NOT NULL, 
	declaration TEXT, 
	generation INTEGER NOT NULL, 
	tags TEXT, 
	expectation TEXT, 
	runs BIGINT NOT NULL, 
	failures BIGINT NOT NULL, 
	consecutive_failures BIGINT NOT NULL, 
	claimed BIGINT NOT NULL, 
	counts TEXT, 
	skips TEXT, 
	last_run VARCHAR(36), 
	succeeded_at BIGINT, 
	last_skip VARCHAR(36), 
	ended_at BIGINT, 
	arrived TEXT, 
	PRIMARY KEY (namespace, name, scope)
);
INSERT INTO "task_tasks" VALUES('default','report','',1777905000000000,0,NULL,1,NULL,NULL,NULL,NULL,0,'5 * * * * in Europe/Amsterdam
every 10 minutes',1,'["a"]',NULL,6,0,0,5,'{"succeeded": 6, "missed": 13}',NULL,'019df366-4c88-7000-8a1f-aa8fcaa6a656',1777905061000000,NULL,1777905061000000,NULL);
INSERT INTO "task_tasks" VALUES('default','fail','',1777905000000000,0,NULL,1,NULL,NULL,NULL,NULL,0,'every 15 minutes',1,NULL,NULL,3,3,3,3,'{"failed": 3, "missed": 7}',NULL,'019df366-4c88-7000-8a1f-aae0ac5b0fc9',NULL,NULL,1777905062000000,NULL);
INSERT INTO "task_tasks" VALUES('default','off','',1777904820000000,0,NULL,0,'not now',NULL,1777896000000000,'root@host',0,'every 7 minutes',1,NULL,NULL,0,0,0,0,'{"skipped": 5, "missed": 16}','{"disabled": 5}',NULL,NULL,'019df366-4c88-7000-8a1f-aa5936934038',1777905061000000,NULL);
INSERT INTO "task_tasks" VALUES('default','after','',1777904400000000,0,NULL,1,NULL,NULL,NULL,NULL,0,'every 20 minutes',1,NULL,NULL,2,0,0,2,'{"succeeded": 2, "missed": 5}',NULL,'019df366-4c88-7000-8a1f-aaba0abf6ea5',1777905061000000,NULL,1777905061000000,NULL);
CREATE INDEX task_declarations_of ON task_declarations (namespace, task);
CREATE INDEX task_runs_of ON task_runs (namespace, task, id);
CREATE INDEX task_runs_unusual ON task_runs (namespace, state, id) WHERE (state NOT IN ('succeeded', 'queued', 'running', 'retrying'));
CREATE INDEX task_runs_unusual_of ON task_runs (namespace, task, state, id) WHERE (state NOT IN ('succeeded', 'queued', 'running', 'retrying'));
CREATE INDEX task_runs_children ON task_runs (namespace, parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX task_runs_at ON task_runs (namespace, id);
CREATE INDEX task_runs_changed ON task_runs (namespace, changed);
CREATE INDEX task_runs_places ON task_runs (namespace, place, task) WHERE place > 0;
CREATE INDEX task_processes_of ON task_processes (namespace, ended_at);
CREATE INDEX task_journal_at ON task_journal (namespace, id);
CREATE UNIQUE INDEX task_incidents_open ON task_incidents (namespace, task, kind) WHERE ended_at IS NULL;
CREATE INDEX task_incidents_over ON task_incidents (namespace, ended_at);
COMMIT;
