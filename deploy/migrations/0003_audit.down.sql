DROP TABLE tee_boots;
DROP TABLE tee_audit;
