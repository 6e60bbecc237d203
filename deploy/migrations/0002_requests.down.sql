DROP TABLE tee_requests;
