"""A library: PDF into fax pages and back, cover pages and reports. Strangers' files are opened in child
processes only (`faxpages.workshop`)."""
