// A network of its own for the app: private endpoints to storage and vault, and the way to private clusters.
param name string
param location string
param tags object = {}
param addressPrefix string = '10.80.0.0/22'

@description('Of the instances of the app: Flex takes one address for each.')
param appPrefix string = '10.80.0.0/24'
param endpointPrefix string = '10.80.1.0/24'

@description('Networks of private clusters that are peered with this one, by resource id.')
param peerNetworkIds array = []

resource network 'Microsoft.Network/virtualNetworks@2024-01-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: appPrefix
          delegations: [
            {
              name: 'flex'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointPrefix
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }
}

resource peering 'Microsoft.Network/virtualNetworks/virtualNetworkPeerings@2024-01-01' = [for (peer, index) in peerNetworkIds: {
  parent: network
  name: 'cluster-${index}'
  properties: {
    allowVirtualNetworkAccess: true
    remoteVirtualNetwork: {
      id: peer
    }
  }
}]

output id string = network.id
output addressPrefix string = addressPrefix
output appSubnetId string = '${network.id}/subnets/app'
output endpointSubnetId string = '${network.id}/subnets/endpoints'
