"""`curate label agreement|adjudicate|compare|invite`: how good labels are, and settling what is not."""
