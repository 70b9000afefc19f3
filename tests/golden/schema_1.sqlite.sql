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
INSERT INTO "task_journal" VALUES(2,'default',1777897860000000,'root@host','triggered','report','run 019df2f8-6ba0-7000-93a3-4ef623d50612 with {"region": "US"}');
INSERT INTO "task_journal" VALUES(3,'default',1777905062000000,'root@host','triggered','after','run 019df366-5070-7000-93a3-4fed52187508');
CREATE TABLE task_logs (
	run VARCHAR(36) NOT NULL, 
	lines TEXT NOT NULL, 
	dropped INTEGER NOT NULL, 
	PRIMARY KEY (run)
);
INSERT INTO "task_logs" VALUES('019df2e0-9de0-7000-93a3-4e45260fa203','[[1795289882149892, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df2e5-31c0-7000-93a3-4e6f98327cad','[[1795289882356299, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df2ee-5980-7000-93a3-4ea4d2c54868','[[1795289882755822, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df2f7-8140-7000-93a3-4ee8a62671bd','[[1795289883149611, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df2f8-6ba0-7000-93a3-4ef623d50612','[[1795289883198524, 20, "task.run", "a line"]]',0);
INSERT INTO "task_logs" VALUES('019df366-4c88-7000-93a3-4f439f241949','[[1795289883227918, 20, "task.run", "a line"]]',0);
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
	PRIMARY KEY (id)
);
INSERT INTO "task_processes" VALUES('a27411a9-8a13-4630-8262-a6f40859cb28','default','host',27630,1777896300000000,313,1777897860000000,1777897861000000,'stopped');
INSERT INTO "task_processes" VALUES('9fbc8219-7e6d-40c6-aa31-858aee642b70','default','host',27630,1777905061000000,1,1777905062000000,1777905062000000,'stopped');
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
INSERT INTO "task_runs" VALUES('019df2e0-9de0-7000-93a3-4e45260fa203','default','report','',0,1777896300000000,1777896300000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777896300000000,NULL,1777896300000000,1777896300000000,1,1777896300000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',1,'host',27630,'MainThread',NULL,NULL,NULL,3);
INSERT INTO "task_runs" VALUES('019df2e2-72a0-7000-93a3-4e51c08d2051','default','off','',0,1777896420000000,1777897680000000,4,NULL,'schedule','skipped',0,1,'skip',NULL,'disabled',1777896420000000,1777896420000000,NULL,1777896420000000,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',0,NULL,NULL,NULL,NULL,NULL,NULL,21);
INSERT INTO "task_runs" VALUES('019df2e5-31c0-7000-93a3-4e6f98327cad','default','report','',0,1777896600000000,1777896600000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777896600000000,NULL,1777896600000000,1777896600000000,1,1777896600000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',2,'host',27630,'MainThread',NULL,NULL,NULL,7);
INSERT INTO "task_runs" VALUES('019df2e9-c5a0-7000-93a3-4e84b3682550','default','fail','',0,1777896900000000,1777896900000000,1,NULL,'schedule','failed',0,1,'skip',NULL,NULL,1777896900000000,NULL,1777896900000000,1777896901000000,2,1777896901000000,'[[1, 1777896900000000, 1777896900000000, "ValueError: on purpose", "  File \"tasks.py\", line 80, in fail\n    raise ValueError(\"on purpose\")\nValueError: on purpose"]]','ValueError: on purpose','  File "tasks.py", line 80, in fail
    raise ValueError("on purpose")
ValueError: on purpose',NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',3,'host',27630,'MainThread',NULL,NULL,NULL,13);
INSERT INTO "task_runs" VALUES('019df2ee-5980-7000-93a3-4e943e46b9fc','default','after','',0,1777897200000000,1777897200000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777897200000000,NULL,1777897200000000,1777897200000000,1,1777897200000000,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',4,'host',27630,'MainThread',NULL,NULL,NULL,16);
INSERT INTO "task_runs" VALUES('019df2ee-5980-7000-93a3-4ea4d2c54868','default','report','',0,1777897200000000,1777897200000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777897200000000,NULL,1777897200000000,1777897200000000,1,1777897200000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',5,'host',27630,'MainThread',NULL,NULL,NULL,19);
INSERT INTO "task_runs" VALUES('019df2f7-8140-7000-93a3-4ed12be87312','default','fail','',0,1777897800000000,1777897800000000,1,NULL,'schedule','failed',0,1,'skip',NULL,NULL,1777897800000000,NULL,1777897800000000,1777897801000000,2,1777897801000000,'[[1, 1777897800000000, 1777897800000000, "ValueError: on purpose", "  File \"tasks.py\", line 80, in fail\n    raise ValueError(\"on purpose\")\nValueError: on purpose"]]','ValueError: on purpose','  File "tasks.py", line 80, in fail
    raise ValueError("on purpose")
ValueError: on purpose',NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',6,'host',27630,'MainThread',NULL,NULL,NULL,29);
INSERT INTO "task_runs" VALUES('019df2f7-8140-7000-93a3-4ee8a62671bd','default','report','',0,1777897800000000,1777897800000000,1,NULL,'schedule','succeeded',0,1,'skip',NULL,NULL,1777897800000000,NULL,1777897800000000,1777897800000000,1,1777897800000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',7,'host',27630,'MainThread',NULL,NULL,NULL,27);
INSERT INTO "task_runs" VALUES('019df2f8-6ba0-7000-93a3-4ef623d50612','default','report','',0,NULL,NULL,1,NULL,'manual','succeeded',0,1,'skip',NULL,NULL,1777897860000000,NULL,1777897860000000,1777897860000000,1,1777897860000000,NULL,NULL,NULL,'{"region": "US"}',1,50.0,'half','{"region": "US"}',0,1,0,0,NULL,NULL,'a27411a9-8a13-4630-8262-a6f40859cb28',8,'host',27630,'MainThread',NULL,NULL,NULL,32);
INSERT INTO "task_runs" VALUES('019df366-4c87-7ffb-93a3-4f3395ec35af','default','off','',0,1777898100000000,1777904400000000,16,1777904820000000,'schedule','missed',0,1,'skip',NULL,'late: a newer slot was due',1777905061000000,1777905061000000,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0,1,0,0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,33);
INSERT INTO "task_runs" VALUES('019df366-4c88-7000-93a3-4f17037ea9d3','default','off','',0,1777904820000000,1777904820000000,1,NULL,'catch-up','skipped',0,1,'skip',NULL,'disabled',1777905061000000,1777905061000000,NULL,1777905061000000,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'9fbc8219-7e6d-40c6-aa31-858aee642b70',0,NULL,NULL,NULL,NULL,NULL,NULL,34);
INSERT INTO "task_runs" VALUES('019df366-4c87-7ffb-93a3-4f66041f8824','default','report','',0,1777898400000000,1777904400000000,13,1777905000000000,'schedule','missed',0,1,'skip',NULL,'late: a newer slot was due',1777905061000000,1777905061000000,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0,1,0,0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,35);
INSERT INTO "task_runs" VALUES('019df366-4c88-7000-93a3-4f439f241949','default','report','',0,1777905000000000,1777905000000000,1,NULL,'catch-up','succeeded',0,1,'skip',NULL,NULL,1777905061000000,NULL,1777905061000000,1777905061000000,1,1777905061000000,NULL,NULL,NULL,'{"region": "EU"}',1,50.0,'half',NULL,1,1,0,0,NULL,NULL,'9fbc8219-7e6d-40c6-aa31-858aee642b70',9,'host',27630,'MainThread',NULL,NULL,NULL,38);
INSERT INTO "task_runs" VALUES('019df366-4c87-7ffb-93a3-4f9077873239','default','after','',0,1777898400000000,1777903200000000,5,1777904400000000,'schedule','missed',0,1,'skip',NULL,'late: a newer slot was due',1777905061000000,1777905061000000,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0,1,0,0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,39);
INSERT INTO "task_runs" VALUES('019df366-4c88-7000-93a3-4f715447f2f8','default','after','',0,1777904400000000,1777904400000000,1,NULL,'catch-up','succeeded',0,1,'skip',NULL,NULL,1777905061000000,NULL,1777905061000000,1777905061000000,1,1777905061000000,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'9fbc8219-7e6d-40c6-aa31-858aee642b70',10,'host',27630,'MainThread',NULL,NULL,NULL,42);
INSERT INTO "task_runs" VALUES('019df366-4c87-7ffb-93a3-4fc49cd82341','default','fail','',0,1777898700000000,1777904100000000,7,1777905000000000,'schedule','missed',0,1,'skip',NULL,'late: a newer slot was due',1777905061000000,1777905061000000,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,0,1,0,0,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,43);
INSERT INTO "task_runs" VALUES('019df366-4c88-7000-93a3-4fa355fd83ab','default','fail','',0,1777905000000000,1777905000000000,1,NULL,'catch-up','failed',0,1,'skip',NULL,NULL,1777905061000000,NULL,1777905061000000,1777905062000000,2,1777905062000000,'[[1, 1777905061000000, 1777905061000000, "ValueError: on purpose", "  File \"tasks.py\", line 80, in fail\n    raise ValueError(\"on purpose\")\nValueError: on purpose"]]','ValueError: on purpose','  File "tasks.py", line 80, in fail
    raise ValueError("on purpose")
ValueError: on purpose',NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,'9fbc8219-7e6d-40c6-aa31-858aee642b70',11,'host',27630,'MainThread',NULL,NULL,NULL,48);
INSERT INTO "task_runs" VALUES('019df366-5070-7000-93a3-4fed52187508','default','after','',0,NULL,NULL,1,NULL,'manual','queued',1,1,'skip',NULL,NULL,1777905062000000,1777905062000000,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,1,1,0,0,NULL,NULL,NULL,12,NULL,NULL,NULL,NULL,NULL,NULL,49);
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
every 10 minutes',1,'["a"]',6,0,0,5,'{"succeeded": 6, "missed": 13}',NULL,'019df366-4c88-7000-93a3-4f439f241949',1777905061000000,NULL,1777905061000000,NULL);
INSERT INTO "task_tasks" VALUES('default','fail','',1777905000000000,0,NULL,1,NULL,NULL,NULL,NULL,0,'every 15 minutes',1,NULL,3,3,3,3,'{"failed": 3, "missed": 7}',NULL,'019df366-4c88-7000-93a3-4fa355fd83ab',NULL,NULL,1777905062000000,NULL);
INSERT INTO "task_tasks" VALUES('default','off','',1777904820000000,0,NULL,0,'not now',NULL,1777896000000000,'root@host',0,'every 7 minutes',1,NULL,0,0,0,0,'{"skipped": 5, "missed": 16}','{"disabled": 5}',NULL,NULL,'019df366-4c88-7000-93a3-4f17037ea9d3',1777905061000000,NULL);
INSERT INTO "task_tasks" VALUES('default','after','',1777904400000000,0,NULL,1,NULL,NULL,NULL,NULL,0,'every 20 minutes',1,NULL,2,0,0,2,'{"succeeded": 2, "missed": 5}',NULL,'019df366-4c88-7000-93a3-4f715447f2f8',1777905061000000,NULL,1777905061000000,NULL);
CREATE INDEX task_declarations_of ON task_declarations (namespace, task);
CREATE INDEX task_runs_unusual_of ON task_runs (namespace, task, state, id) WHERE (state NOT IN ('succeeded', 'queued', 'running', 'retrying'));
CREATE INDEX task_runs_children ON task_runs (namespace, parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX task_runs_at ON task_runs (namespace, id);
CREATE INDEX task_runs_of ON task_runs (namespace, task, id);
CREATE INDEX task_runs_changed ON task_runs (namespace, changed);
CREATE INDEX task_runs_places ON task_runs (namespace, place, task) WHERE place > 0;
CREATE INDEX task_runs_unusual ON task_runs (namespace, state, id) WHERE (state NOT IN ('succeeded', 'queued', 'running', 'retrying'));
CREATE INDEX task_processes_of ON task_processes (namespace, ended_at);
CREATE INDEX task_journal_at ON task_journal (namespace, id);
COMMIT;
